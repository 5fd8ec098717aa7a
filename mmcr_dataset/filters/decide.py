"""The decision on every written dialogue: takedowns, rules, similarity, contamination, dedup, the best of each kind.

Decisions are written to one file a shard, and what passes to a temporary file if numbers or shares of it are kept: in
memory are the hashes of dedup only.
"""

from __future__ import annotations

import shutil
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from mmcr_dataset.filters.best import Passed, PassedRows
from mmcr_dataset.filters.contamination import SetIndex
from mmcr_dataset.filters.dedup import RepeatIndex
from mmcr_dataset.filters.keep import Keep, Reason, kind_of
from mmcr_dataset.filters.prescreen import prepare_images, reason_images
from mmcr_dataset.filters.scores import read_broken
from mmcr_dataset.record.dialogue import image_entries
from mmcr_dataset.stage.stages import STAGES, Stage, numbered
from mmcr_dataset.stage.takedowns import Takedowns
from mmcr_dataset.stage.work_folder import (
    decided_path,
    read_decisions,
    read_shard_similarities,
    read_values,
    without_images,
    write_decisions,
)


def thresholds_of(keep: Keep, work: Path) -> dict[str, float | None]:
    """The lowest similarity of each kind, from the similarities of a work folder."""
    worst: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))
    for number, _ in numbered(work / STAGES["score"], "jsonl") if keep.rates else ():
        for of_images in read_shard_similarities(work, number).values():
            if of_images:
                worst[kind_of(len(of_images))].append(min(of_images))
    return keep.thresholds(worst)


def decide(
    work: Path, scored: Stage, least: Mapping[str, float | None], keep: Keep, sets: Sequence[SetIndex], out: Takedowns
) -> None:
    """Write why each written dialogue is dropped or not.

    Args:
        work: the work folder.
        scored: the stage of similarities and violated rules, finished.
        least: the lowest similarity of each kind.
        keep: what is kept by similarity.
        sets: evaluation sets whose images must not occur.
        out: takedowns.
    """
    shutil.rmtree(decided_path(work, 0).parent, ignore_errors=True)
    seen, passed, is_limited = RepeatIndex(), PassedRows(), bool(keep.numbers or keep.image_shares)
    for number, values in read_values(work, "generate"):
        decisions: list[Reason | None] = []
        prepare_images([image["phash"] for value in values for image in image_entries(value)], sets, seen)
        similarities, broken = read_shard_similarities(work, number), read_broken(scored, number)
        assert broken is not None, f"shard {number} was scored before"
        for value, reason in zip(values, broken, strict=True):
            similarity = similarities.get(value["id"], [])
            phashes = [image["phash"] for image in image_entries(value)]
            reason = (out.reason_of(without_images(value)) if out else None) or reason
            reason = reason or _reason_similarity(similarity, least) or reason_images(phashes, sets, seen)
            decisions.append(reason)
            if reason is None:
                seen.add(phashes, value["id"])
            if reason is None and is_limited:
                worst = min(similarity, default=0.0)
                passed.add(Passed(number, len(decisions) - 1, value["id"], len(phashes), worst))
        write_decisions(work, number, decisions)
    for number, dropped in groupby(passed.drop(keep), key=itemgetter(0)):
        decisions = read_decisions(work, number)
        for _, place, reason in dropped:
            decisions[place] = reason
        write_decisions(work, number, decisions)


def _reason_similarity(similarity: Sequence[float], least: Mapping[str, float | None]) -> Reason | None:
    lowest = least[kind_of(len(similarity))] if similarity else None
    if lowest is None or min(similarity) >= lowest:
        return None
    return "low_similarity", f"{min(similarity):.3f}, expected at least {lowest:.3f}"
