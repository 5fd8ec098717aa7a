"""Implementation of the commands that validate a judge: agreement with experts, canaries, bridge, self-preference."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mmcr_bench.judge.judge import open_judge, show_cost

log = logging.getLogger(__name__)


def judge_agreement(run: Path, experts: Path, figure: Path | None = None) -> str:
    """Agreement of a run's judge with experts who scored the same replies, as text.

    Args:
        run: folder of the judged run.
        experts: JSON lines file of the experts' scores.
        figure: calibration plot to write, None for none.

    Raises:
        ValueError: run and experts have no dimension in common, or as in `read_run` and `read_expert_scores`.
    """
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
    """Check a judge on canaries; returns the report, and whether it passed.

    Args:
        bench: folder or Hub id of the bench.
        split: split of the bench.
        judge_spec: see `judge_spec.HELP`.
        ledger: SQLite file that stores paid judgements.
        limit: number of dialogues that canaries are made from.
    """
    from mmcr_bench.trust.canaries import CANARIES, check_judge
    from mmcr_dataset.record.load import load_dialogues

    dialogues = [dialogue for dialogue, _ in zip(load_dialogues(bench, split=split), range(limit), strict=False)]
    judge = open_judge(judge_spec, ledger)
    log.info("%s", show_cost(judge, dialogues, [dialogue.references for dialogue in dialogues], len(CANARIES)))
    fitness = check_judge(judge, dialogues)
    return fitness.show(), fitness.is_fit


def penalties(run: Path) -> str:
    """Penalties applied by the judge of a run against those its rubric requires, as text."""
    from mmcr_bench.trust.penalty_report import measure_effects, show_effects
    from mmcr_bench.trust.runs import read_run

    return show_effects(measure_effects(read_run(run)))


def bridge(old: Path, new: str, ledger: Path, out: Path, bench: str | None = None) -> str:
    """Compare a new judge with the old one on the replies of a judged run, as text.

    Args:
        old: folder of the run scored by the old judge.
        new: spec of the new judge.
        ledger: SQLite file that stores paid judgements.
        out: JSON file to write.
        bench: folder or Hub id with the images, for a judge that sees them.
    """
    from mmcr_bench.trust.bridge import bridge_judges
    from mmcr_bench.trust.runs import read_run

    run, judge = read_run(old, bench), open_judge(new, ledger)
    log.info("%s", show_cost(judge, run.dialogues, run.replies))
    return bridge_judges(run, judge, out)


def self_preference(
    runs: Sequence[str], judges: Sequence[str], generator: str | None, ledger: Path, bench: str | None = None
) -> str:
    """Self-preference bias of judges, as text.

    Args:
        runs: each `FAMILY=RUN_FOLDER`.
        judges: each `FAMILY=SPEC`.
        generator: model family that wrote the references.
        ledger: SQLite file that stores paid judgements.
        bench: folder or Hub id with the images, for judges that see them.

    Raises:
        ValueError: two runs or two judges have the same family and name, or a run or judge can't be opened.
    """
    from mmcr_bench.trust.runs import read_run
    from mmcr_bench.trust.self_preference import Member, show_study, study_self_preference

    read = {
        Member(family, Path(folder).name): read_run(Path(folder), bench) for family, folder in map(_split_family, runs)
    }
    opened = [(family, open_judge(spec, ledger)) for family, spec in map(_split_family, judges)]
    named = {Member(family, judge.name): judge for family, judge in opened}
    if len(read) < len(runs) or len(named) < len(judges):
        raise ValueError("two runs or two judges have the same family and name; they must be unique")
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
