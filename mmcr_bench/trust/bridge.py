"""Calibrate a new judge against an old one on the same replies, so that their scores can be compared.

Vendors retire judge models, as the paper's; the scores of another judge are on a different scale.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from math import sqrt
from pathlib import Path
from statistics import fmean, variance

from mmcr_bench.judge.judgement import Judge, Judgement
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
    if not scores:
        raise ValueError(f"{new.name}: all {len(judgements)} verdicts are unread ({unread}); see `canaries`")
    topics = {dialogue.id: dialogue.topic or dialogue.id for dialogue in run.dialogues}
    noise = _noise(run, judgements)
    found = compare_scorers(run.scores, scores, NAMES, topics=topics, noise=noise)
    _write(out, run, new, found, unread, scores)
    lines = [f"{len(scores)} of {len(run.dialogues)} dialogues scored by {new.name}"]
    lines += [f"unread: {count} {reason}" for reason, count in sorted(unread.items())]
    num_old = len(run.dialogues) - len(run.scores)
    lines.append(f"left out: {num_old} without a score by the old judge, {run.num_failed} not answered to the end")
    spreads = [sqrt(found_noise) for judgement in judgements if (found_noise := noise_of(judgement.detail, "overall"))]
    if spreads:
        lines.append(f"spread between repeats of {new.name}: {fmean(spreads):.2f} of 10 (overall)")
    return "\n".join([*lines, "", show_comparisons(found, "old", "new"), "", f"written to {out}"])


def noise_of(detail: Mapping[str, object], dimension: str) -> float | None:
    """Variance of one verdict of a judge whose repeats are in the detail; None without repeats or of a panel."""
    members = detail.get("members")
    read = [one["scores"][dimension] for one in members if one["scores"]] if isinstance(members, list) else []
    is_one = isinstance(members, list) and len({one["judge"] for one in members}) == 1
    return variance(read) if is_one and len(read) > 1 else None


def _noise(run: Run, judgements: Sequence[Judgement]) -> dict[str, tuple[float, float]] | None:
    """Noise of the means over repeats of both judges, by dimension; None if one of them has no repeats."""
    found: dict[str, tuple[float, float]] = {}
    for name in NAMES:
        both = [_mean_noise(details, name) for details in (run.details.values(), [one.detail for one in judgements])]
        old, new = both
        if old is None or new is None:
            return None
        found[name] = (old, new)
    return found


def _mean_noise(details: Iterable[Mapping[str, object]], name: str) -> float | None:
    """Mean over dialogues of the variance of a mean over repeats."""
    values = []
    for detail in details:
        one = noise_of(detail, name)
        if one is not None:
            members = detail["members"]
            assert isinstance(members, list)
            values.append(one / sum(member["scores"] is not None for member in members))
    return fmean(values) if values else None


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
