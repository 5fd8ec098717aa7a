"""The commands that say how far a number can be trusted: agreement, canaries, bridge."""

from __future__ import annotations

from pathlib import Path

from mmcr_bench.judge import open_judge


def agreement(review: Path) -> str:
    """How far the experts of a review agree."""
    from mmcr_bench.review.event_log import ReviewLog
    from mmcr_bench.review.progress import show_agreement

    if not review.is_file():
        raise ValueError(f"{review}: no review there")
    lines = ["| criterion | items | flagged | raw | Krippendorff's alpha | Gwet's AC1 |", "|---|---|---|---|---|---|"]
    rows = show_agreement(ReviewLog(review), num_resamples=2000)
    lines += ["| " + " | ".join(row) + " |" if len(row) > 1 else f"\n{row[0]}" for row in rows]
    return "\n".join(lines)


def judge_agreement(run: Path, experts: Path) -> str:
    """How far the judge of a run agrees with experts who scored the same replies."""
    from mmcr_bench.runs import read_expert_scores, read_run
    from mmcr_bench.score_pairs import compare_scorers, show_comparisons

    judged, expert = read_run(run), read_expert_scores(experts)
    names = [name for name in next(iter(expert.values()), {}) if any(name in given for given in judged.scores.values())]
    if not names:
        raise ValueError(f"{run} and {experts} have no dimension in common; was the run judged by a rubric?")
    return show_comparisons(compare_scorers(judged.scores, expert, names), "judge", "experts")


def canaries(bench: str, split: str, judge_spec: str, ledger: Path, limit: int) -> tuple[str, bool]:
    """Whether a judge is fit, as text and as a fact.

    Args:
        bench: folder or Hub id of the bench.
        split: its split.
        judge_spec: see `judge_spec.HELP`.
        ledger: where paid judgements are remembered.
        limit: dialogues that canaries are made from.
    """
    from mmcr_bench.canaries import check_judge
    from mmcr_dataset.rows import load_dialogues

    dialogues = [dialogue for dialogue, _ in zip(load_dialogues(bench, split=split), range(limit), strict=False)]
    fitness = check_judge(open_judge(judge_spec, ledger), dialogues)
    return fitness.show(), fitness.is_fit


def bridge(old: Path, new: str, ledger: Path, out: Path) -> str:
    """A new judge on the replies of a judged run."""
    from mmcr_bench.bridge import bridge_judges
    from mmcr_bench.runs import read_run

    run, judge = read_run(old), open_judge(new, ledger)
    usd = judge.estimate_usd(run.dialogues, run.replies)
    if usd:
        print(f"about {usd:.2f} USD for {len(run.dialogues)} dialogues, less what {ledger} holds", flush=True)
    return bridge_judges(run, judge, out)
