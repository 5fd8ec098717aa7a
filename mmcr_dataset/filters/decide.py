"""The decision on every written dialogue: takedowns, rules, similarity, contamination, dedup, the best of each kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmcr_dataset.filters.contamination import SetIndex
from mmcr_dataset.filters.dedup import RepeatIndex
from mmcr_dataset.filters.keep import Keep, Passed, Reason, kind_of
from mmcr_dataset.filters.prescreen import prepare_images, reason_images
from mmcr_dataset.record.dialogue import image_entries
from mmcr_dataset.stage.takedowns import Takedowns
from mmcr_dataset.stage.work_folder import read_values, without_images

Decisions = dict[int, list[Reason | None]]  # shard -> of each dialogue why it is dropped, None if it is kept


def thresholds_of(keep: Keep, similarities: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    """The lowest similarity of each kind. Args: similarities: id -> of each image, empty where none was computed."""
    worst: defaultdict[str, list[float]] = defaultdict(list)
    for of_images in similarities.values():
        if of_images:
            worst[kind_of(len(of_images))].append(min(of_images))
    return keep.thresholds(worst)


def decide(
    work: Path,
    broken: Decisions,
    similarities: Mapping[str, Sequence[float]],
    keep: Keep,
    sets: Sequence[SetIndex],
    taken_out: Takedowns,
) -> Decisions:
    """Why each written dialogue is dropped or not.

    Args:
        work: the work folder.
        broken: the rules that dialogues violate.
        similarities: id -> similarity of each image.
        keep: what is kept by similarity.
        sets: evaluation sets whose images must not occur.
        taken_out: takedowns.
    """
    least, seen, passed, decisions = thresholds_of(keep, similarities), RepeatIndex(), list[Passed](), Decisions()
    places: dict[str, tuple[int, int]] = {}
    for number, values in read_values(work, "generate"):
        decisions[number] = []
        prepare_images([image["phash"] for value in values for image in image_entries(value)], sets, seen)
        for value, reason in zip(values, broken[number], strict=True):
            similarity = similarities.get(value["id"], [])
            phashes = [image["phash"] for image in image_entries(value)]
            reason = taken_out.reason_of(without_images(value)) or reason
            reason = reason or _reason_similarity(similarity, least) or reason_images(phashes, sets, seen)
            decisions[number].append(reason)
            if reason is None:
                seen.add(phashes, value["id"])
                places[value["id"]] = (number, len(decisions[number]) - 1)
                passed.append(Passed(value["id"], len(phashes), min(similarity, default=0.0)))
    for id_, reason in keep.drop(passed).items():
        number, place = places[id_]
        decisions[number][place] = reason
    return decisions


def _reason_similarity(similarity: Sequence[float], least: Mapping[str, float | None]) -> Reason | None:
    lowest = least[kind_of(len(similarity))] if similarity else None
    if lowest is None or min(similarity) >= lowest:
        return None
    return "low_similarity", f"{min(similarity):.3f}, expected at least {lowest:.3f}"
