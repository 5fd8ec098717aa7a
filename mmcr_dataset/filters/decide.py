"""The decision on written dialogues that needs all of them: similarity, dedup, the best of each kind.

What a shard tells by itself was found by ranks (`filter_stage.py`). This reads their small files, and writes why
further dialogues are dropped.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from heapq import merge
from pathlib import Path

from mmcr_dataset.filters.best import PassedRows
from mmcr_dataset.filters.documents import Documents
from mmcr_dataset.filters.keep import Keep, kind_of
from mmcr_dataset.stage.checks import Checks, Reason
from mmcr_dataset.stage.engine import EngineSettings
from mmcr_dataset.stage.stages import STAGES, numbered
from mmcr_dataset.stage.work_folder import DECIDED, read_shard_similarities


def thresholds_of(keep: Keep, work: Path) -> dict[str, float | None]:
    """The lowest similarity of each kind, from the similarities of a work folder."""
    worst: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))
    for number, _ in numbered(work / STAGES["score"], "jsonl") if keep.rates else ():
        for of_images in read_shard_similarities(work, number).values():
            if of_images:
                worst[kind_of(len(of_images))].append(min(of_images))
    return keep.thresholds(worst)


def decide(work: Path, least: Mapping[str, float | None], keep: Keep, engine: EngineSettings) -> bool:
    """Write which dialogues repeat others or are not among the best; False if a job was submitted to a queue.

    Args:
        work: the work folder.
        least: the lowest similarity of each kind.
        keep: what is kept by similarity.
        engine: where near images are searched if there are many.
    """
    checks = Checks(work / DECIDED)
    documents = Documents(checks, least)
    first_of = documents.first_of(work, engine)
    if first_of is None:
        return False
    passed = PassedRows()
    if keep.numbers or keep.image_shares:
        for one in documents.passed(first_of, least):
            passed.add(one)
    checks.drop(merge(documents.repeats(first_of), passed.drop(keep)))
    return True


def reason_similarity(similarity: Sequence[float], least: Mapping[str, float | None]) -> Reason | None:
    """An image of a dialogue is too unlike its texts. Args: least: the lowest similarity of each kind."""
    lowest = least[kind_of(len(similarity))] if similarity else None
    if lowest is None or min(similarity) >= lowest:
        return None
    return "low_similarity", f"{min(similarity):.3f}, expected at least {lowest:.3f}"
