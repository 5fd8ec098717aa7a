"""The commands that say how far a judge can be trusted: agreement with experts, canaries, bridge, self-preference."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mmcr_bench.judge.judge import open_judge, show_cost

log = logging.getLogger(__name__)


def judge_agreement(run: Path, experts: Path, figure: Path | None = None) -> str:
    """How far the judge of a run agrees with experts who scored the same replies; `figure` gets the calibration."""
    from mmcr_bench.trust.runs import read_expert_scores, read_run
    from mmcr_bench.trust.score_pairs import compare_scorers, show_comparisons

    judged, expert = read_run(run), read_expert_scores(experts)
    names = [name for name in next(iter(expert.values()), {}) if any(name in given for given in judged.scores.values())]
    if not names:
        raise ValueError(f"{run} and {experts} have no dimension in common; was the run judged by a rubric?")
    found = compare_scorers(judged.scores, expert, names)
    if figure is not None:
        from mmcr_bench.trust.calibration_figure import draw_calibration

        draw_calibration(found, "judge", "experts", figure)
    return show_comparisons(found, "judge", "experts")


def canaries(bench: str, split: str, judge_spec: str, ledger: Path, limit: int) -> tuple[str, bool]:
    """Whether a judge is fit, as text and as a fact.

    Args:
        bench: folder or Hub id of the bench.
        split: its split.
        judge_spec: see `judge_spec.HELP`.
        ledger: where paid judgements are kept.
        limit: dialogues that canaries are made from.
    """
    from mmcr_bench.trust.canaries import CANARIES, check_judge
    from mmcr_dataset.record.load import load_dialogues

    dialogues = [dialogue for dialogue, _ in zip(load_dialogues(bench, split=split), range(limit), strict=False)]
    judge = open_judge(judge_spec, ledger)
    log.info("%s", show_cost(judge, dialogues, [dialogue.references for dialogue in dialogues], len(CANARIES)))
    fitness = check_judge(judge, dialogues)
    return fitness.show(), fitness.is_fit


def penalties(run: Path) -> str:
    """Whether the judge of a run takes off what its rubric says is due."""
    from mmcr_bench.trust.penalty_report import measure_effects, show_effects
    from mmcr_bench.trust.runs import read_run

    return show_effects(measure_effects(read_run(run)))


def bridge(old: Path, new: str, ledger: Path, out: Path, bench: str | None = None) -> str:
    """A new judge on the replies of a judged run; `bench` has the images, for a judge that sees them."""
    from mmcr_bench.trust.bridge import bridge_judges
    from mmcr_bench.trust.runs import read_run

    run, judge = read_run(old, bench), open_judge(new, ledger)
    log.info("%s", show_cost(judge, run.dialogues, run.replies))
    return bridge_judges(run, judge, out)


def self_preference(
    runs: Sequence[str], judges: Sequence[str], generator: str | None, ledger: Path, bench: str | None = None
) -> str:
    """Several models' replies by several families' judges.

    Args:
        runs: each `FAMILY=RUN_FOLDER`.
        judges: each `FAMILY=SPEC`.
        generator: family that wrote the references.
        ledger: where paid judgements are kept.
        bench: folder or Hub id that has the images, for judges that see them.
    """
    from mmcr_bench.trust.runs import read_run
    from mmcr_bench.trust.self_preference import Member, show_study, study_self_preference

    read = {
        Member(family, Path(folder).name): read_run(Path(folder), bench) for family, folder in map(_split_family, runs)
    }
    opened = [(family, open_judge(spec, ledger)) for family, spec in map(_split_family, judges)]
    named = {Member(family, judge.name): judge for family, judge in opened}
    if len(read) < len(runs) or len(named) < len(judges):
        raise ValueError("two runs or two judges have the same family and name; each must be its own")
    costs = [judge.estimate_usd(run.dialogues, run.replies) for _, judge in opened for run in read.values()]
    known = [cost for cost in costs if cost is not None]
    usd, unknown = sum(known), len(costs) - len(known)
    log.info("about %.2f USD, %d prices unknown, less what %s holds", usd, unknown, ledger)
    return show_study(study_self_preference(read, named), generator)


def _split_family(text: str) -> tuple[str, str]:
    family, mark, rest = text.partition("=")
    if not mark or not family or not rest:
        raise ValueError(f"{text!r}: expected FAMILY=RUN_FOLDER or FAMILY=SPEC, such as qwen=runs/qwen2.5-vl-3b")
    return family, rest
