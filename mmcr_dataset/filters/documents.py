"""The documents of all shards that are not dropped so far, by their images: which repeat others, which are the best."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np

from mmcr_dataset.filters.best import Passed
from mmcr_dataset.filters.repeats import ImageLists, Places
from mmcr_dataset.stage.checks import Checks, Drop, documents_of
from mmcr_dataset.stage.engine import EngineSettings

_REPEATS_AT_ONCE = 1_000_000


class Documents:
    """In memory, 30 bytes an image.

    Args:
        checks: files of the shards.
        least: kind -> lowest similarity of a document's worst image.
    """

    def __init__(self, checks: Checks, least: Mapping[str, float | None] | None = None) -> None:
        self._checks, self._images = checks, ImageLists()
        self._numbers, self._ends, self._places = array("Q"), array("Q"), array("I")
        for number in checks.numbers():
            images = checks.images(number, least)
            starts, sizes = documents_of(images)
            self._images.extend(np.ascontiguousarray(images["phash"]), np.cumsum(sizes))
            self._places.frombytes(np.ascontiguousarray(images["place"][starts]).tobytes())
            self._numbers.append(number)
            self._ends.append(len(self._places))

    def first_of(self, work: Path, engine: EngineSettings) -> Places | None:
        """Of each document the first one with the same images; None if a job was submitted to a queue."""
        standing = self._images.standing_on(work, engine)
        return None if standing is None else self._images.first_of(standing)

    def repeats(self, first_of: Places) -> Iterator[Drop]:
        """The documents that repeat an earlier one, in order."""
        repeated = np.flatnonzero(first_of != np.arange(len(first_of), dtype=np.uint32)).astype(np.uint32)
        for start in range(0, len(repeated), _REPEATS_AT_ONCE):
            some = repeated[start : start + _REPEATS_AT_ONCE]
            earlier, inverse = np.unique(first_of[some], return_inverse=True)
            ids: list[str] = []
            for number, places in groupby(zip(*self._locate(earlier), strict=True), key=itemgetter(0)):
                known = self._checks.ids(number)
                ids += [known[place] for _, place in places]
            for number, place, first in zip(*self._locate(some), inverse.tolist(), strict=True):
                yield number, place, ("repeated_images", f"{ids[first]} shows the same images")

    def passed(self, first_of: Places, least: Mapping[str, float | None]) -> Iterator[Passed]:
        """The documents that repeat no earlier one, in order."""
        start = 0
        for number in self._numbers:
            images, ids = self._checks.images(number, least), self._checks.ids(number)
            starts, sizes = documents_of(images)
            here = np.arange(start, start + len(starts))
            start += len(starts)
            for at in np.flatnonzero(first_of[here] == here):
                place, size = int(images["place"][starts[at]]), int(sizes[at])
                worst = float(images["similarity"][starts[at] : starts[at] + size].min())
                yield Passed(number, place, ids[place], size, 0.0 if math.isnan(worst) else worst)

    def _locate(self, documents: Places) -> tuple[list[int], list[int]]:
        """Shard and place of documents."""
        shards = np.searchsorted(np.frombuffer(self._ends, np.uint64), documents.astype(np.uint64), side="right")
        numbers, places = np.frombuffer(self._numbers, np.uint64), np.frombuffer(self._places, np.uint32)
        return numbers[shards].tolist(), places[documents].tolist()
