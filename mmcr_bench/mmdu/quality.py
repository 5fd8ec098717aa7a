"""MMDU's open question: do a dialogue's scores show whether its cluster is right, and how close its images are?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from mmcr_bench.judge.mmdu_rubric import MMDU_NAMES
from mmcr_bench.mmdu.accuracy import Verdict
from mmcr_bench.trust.runs import read_run
from mmcr_dataset.mmdu.cluster_stage import read_clusters
from mmcr_dataset.publish.markdown_table import to_table
from mmcr_dataset.record.dialogue import Dialogue

MIN_DIALOGUES = 5


def cluster_of(dialogue: Dialogue) -> str:
    """Id of the cluster that a dialogue was written about, from its images."""
    hashes = "\x1f".join(image.sha256 for image in dialogue.images)
    return f"cluster-{hashlib.sha256(hashes.encode()).hexdigest()[:24]}"


def show_quality(work: Path, verdicts: Sequence[Verdict], run: Path) -> str:
    """A table: scores of dialogues of right and of wrong clusters, and their rank correlation with the mean distance.

    Args:
        work: the OUT.work folder of the build.
        verdicts: judged clusters.
        run: a run of `python -m eval_tasks --tasks mmdu` with a judge.

    Raises:
        ValueError: too few dialogues of the run have a judged cluster.
    """
    found = read_run(run, task="mmdu")
    distances = {line["id"]: fmean(line["distances"]) for line in read_clusters(work)}
    right = {one.cluster: one.right for one in verdicts if one.right is not None}
    clusters = {dialogue.id: _match(dialogue, distances) for dialogue in found.dialogues}
    known = {id_: name for id_, name in clusters.items() if name is not None and id_ in found.scores}
    if len(known) < MIN_DIALOGUES:
        raise ValueError(
            f"{run}: {len(known)} judged dialogues are of clusters of {work}, expected at least {MIN_DIALOGUES}; is it "
            "the work folder of the bench that was asked?"
        )
    rows = [_row(name, found.scores, known, right, distances) for name in MMDU_NAMES]
    head = ("score (1 to 10)", "right", "wrong", "difference", "rank correlation with distance")
    judged = sum(name in right for name in known.values())
    table = to_table(head, rows, right=range(1, 5))
    return (
        f"{table}\n\n{len(known)} dialogues, {judged} of a judged cluster. Intervals: 95 %, bootstrap over dialogues. "
        "A correlation below 0: the closer the images, the better the scores."
    )


def _match(dialogue: Dialogue, distances: Mapping[str, float]) -> str | None:
    name = cluster_of(dialogue)
    return name if name in distances else None


def _row(
    name: str,
    scores: Mapping[str, Mapping[str, float]],
    known: Mapping[str, str],
    right: Mapping[str, bool],
    distances: Mapping[str, float],
) -> list[str]:
    of_name = {id_: scores[id_][name] for id_ in known if name in scores[id_]}
    groups = {
        verdict: [score for id_, score in of_name.items() if right.get(known[id_]) is verdict]
        for verdict in (True, False)
    }
    cells = [f"{fmean(group):.2f} ({len(group)})" if group else "-" for group in groups.values()]
    pairs = [(distances[known[id_]], score) for id_, score in of_name.items()]
    return [name, *cells, _difference(groups[True], groups[False]), _correlation(pairs)]


def _difference(good: Sequence[float], bad: Sequence[float]) -> str:
    if min(len(good), len(bad)) < MIN_DIALOGUES:
        return f"not told: fewer than {MIN_DIALOGUES} on one side"
    rng = np.random.default_rng(0)
    a, b = np.array(good), np.array(bad)
    drawn = [rng.choice(a, len(a)).mean() - rng.choice(b, len(b)).mean() for _ in range(2000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{a.mean() - b.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def _correlation(pairs: Sequence[tuple[float, float]]) -> str:
    """Spearman's correlation with its interval; told only where both vary."""
    from scipy.stats import spearmanr

    values = np.array(pairs)
    if len(values) < MIN_DIALOGUES or np.ptp(values[:, 0]) == 0 or np.ptp(values[:, 1]) == 0:
        return "not told: too few, or all alike"
    rng = np.random.default_rng(0)
    drawn = [spearmanr(values[rng.integers(0, len(values), len(values))]).statistic for _ in range(1000)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return f"{spearmanr(values).statistic:+.2f} [{low:+.2f}, {high:+.2f}]"
