"""Calibrate a new judge against an old one on the same replies, so that their scores can be compared.

Vendors retire judge models, as the paper's; the scores of another judge are on a different scale.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from mmcr_bench.judge.judgement import Judge
from mmcr_bench.judge.rubric import NAMES
from mmcr_bench.trust.runs import Run
from mmcr_bench.trust.score_pairs import Comparison, compare_scorers, show_comparisons


def bridge_judges(run: Run, new: Judge, out: Path) -> str:
    """Score the replies of a judged run with a new judge; writes `out` as JSON and returns the table.

    Raises:
        ValueError: the run has no rubric scores, the new judge is the offline one, or too few are scored by both.
    """
    if not run.scores:
        raise ValueError(f"run {run.name}: its dialogues have no rubric scores; judge it with an api: judge first")
    if new.is_offline:
        raise ValueError("the offline judge has no rubric; name a judge at an endpoint (api:URL#MODEL)")
    judgements = new.score(run.dialogues, run.replies)
    pairs = list(zip(run.dialogues, judgements, strict=True))
    scores = {dialogue.id: judgement.scores for dialogue, judgement in pairs if judgement.scores is not None}
    unread: dict[str, int] = {}
    for judgement in judgements:
        if judgement.reason is not None:
            unread[judgement.reason] = unread.get(judgement.reason, 0) + 1
    found = compare_scorers(run.scores, scores, NAMES)
    _write(out, run, new, found, unread, scores)
    lines = [f"{len(scores)} of {len(run.dialogues)} dialogues scored by {new.name}"]
    lines += [f"unread: {count} {reason}" for reason, count in sorted(unread.items())]
    return "\n".join([*lines, "", show_comparisons(found, "old", "new"), "", f"written to {out}"])


def _write(
    out: Path,
    run: Run,
    new: Judge,
    found: Mapping[str, Comparison],
    unread: Mapping[str, int],
    scores: Mapping[str, Mapping[str, float]],
) -> None:
    value = {
        "run": run.name,
        "new": new.describe(),
        "dimensions": {name: asdict(comparison) for name, comparison in found.items()},
        "unread": dict(unread),
        "scores": {id_: dict(given) for id_, given in scores.items()},
    }
    out.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
