"""The decision on every written dialogue: takedowns, rules, similarity, contamination, dedup, the best of each kind.

Decisions are written to one file a shard: in memory are the hashes of dedup only, and the dialogues that pass if
numbers or shares of them are kept.
"""

from __future__ import annotations

import shutil
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmcr_dataset.filters.contamination import SetIndex
from mmcr_dataset.filters.dedup import RepeatIndex
from mmcr_dataset.filters.keep import Keep, Passed, Reason, kind_of
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
    seen, passed, is_limited = RepeatIndex(), list[Passed](), bool(keep.numbers or keep.image_shares)
    places: dict[str, tuple[int, int]] = {}
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
                places[value["id"]] = (number, len(decisions) - 1)
                passed.append(Passed(value["id"], len(phashes), min(similarity, default=0.0)))
        write_decisions(work, number, decisions)
    _drop(work, keep.drop(passed), places)


def _drop(work: Path, drops: Mapping[str, Reason], places: Mapping[str, tuple[int, int]]) -> None:
    """Add reasons to the decisions on disk."""
    of_shard: defaultdict[int, list[tuple[int, Reason]]] = defaultdict(list)
    for id_, reason in drops.items():
        number, place = places[id_]
        of_shard[number].append((place, reason))
    for number, dropped in of_shard.items():
        decisions = read_decisions(work, number)
        for place, reason in dropped:
            decisions[place] = reason
        write_decisions(work, number, decisions)


def _reason_similarity(similarity: Sequence[float], least: Mapping[str, float | None]) -> Reason | None:
    lowest = least[kind_of(len(similarity))] if similarity else None
    if lowest is None or min(similarity) >= lowest:
        return None
    return "low_similarity", f"{min(similarity):.3f}, expected at least {lowest:.3f}"
