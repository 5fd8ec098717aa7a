"""Seeded sampling of documents that reads only as much of a large source as it needs.

A partitioned source (Parquet row groups, archives) is sampled by cluster: its parts are read in the order of a seeded
hash over all parts of all files until the quota is met. Every part and every document has the same probability, but
documents of one part come together. In the part that meets the quota, the documents with the smallest seeded hashes
are taken. A source of one part is sampled document by document, independent of its order.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from mmcr_dataset.collect.document import Document, DocumentSource
from mmcr_dataset.collect.screen import Screen
from mmcr_dataset.stage.stages import Removed, write_text

NOTES_NAME = "parts_drawn.jsonl"  # counts of the parts that are drawn, in the folder of the stage


class Part(Protocol):
    """A part of a source that can be read independently and repeatedly."""

    @property
    def name(self) -> str:
        """Its key in the notes file."""

    @property
    def num_rows(self) -> int | None:
        """Number of rows, None if unknown before reading."""

    def __iter__(self) -> Iterator[Document | Removed]:
        """Yield its documents, in order."""


@runtime_checkable
class PartitionedSource(Protocol):
    """A source with several parts."""

    def parts(self, seed: int | None) -> Iterator[Part]:
        """All parts: in file order, or shuffled by a seed."""


@dataclass
class _Whole:
    """An unpartitioned source as a single part."""

    source: DocumentSource
    name: str = "all"
    num_rows: int | None = None

    def __iter__(self) -> Iterator[Document | Removed]:
        return iter(self.source)


@dataclass
class Quota:
    """Number of documents still to sample, with one image and with several; None for all."""

    single: int | None
    multi: int | None

    @property
    def is_met(self) -> bool:
        """True if no further document is needed."""
        return self.single == 0 and self.multi == 0

    @property
    def total(self) -> int | None:
        """Sum of both, None if one is unlimited."""
        return None if self.single is None or self.multi is None else self.single + self.multi

    def of(self, document: Document) -> int | None:
        """Remaining number for documents of this kind."""
        return self.multi if len(document.images) > 1 else self.single

    def subtract(self, num_single: int, num_multi: int) -> None:
        """Subtract documents that were taken."""
        self.single = None if self.single is None else self.single - num_single
        self.multi = None if self.multi is None else self.multi - num_multi

    def take(self, counted: Drawn) -> Drawn:
        """What is drawn of a part with these counts, which is subtracted."""
        single, multi = (
            number if left is None else min(number, left)
            for number, left in ((counted.single, self.single), (counted.multi, self.multi))
        )
        self.subtract(single, multi)
        return Drawn(counted.part, single, multi, counted.removed)

    def binding(self, counted: Drawn | None) -> Quota:
        """The quota without the numbers that a part with these counts stays below; it draws the same from the part."""
        if counted is None:
            return Quota(self.single, self.multi)
        return Quota(
            None if self.single is None or counted.single < self.single else self.single,
            None if self.multi is None or counted.multi < self.multi else self.multi,
        )


@dataclass
class Drawn:
    """Counts of the items that a part yielded."""

    part: str
    single: int = 0
    multi: int = 0
    removed: int = 0

    @classmethod
    def of(cls, part: str, items: Iterable[Document | Removed]) -> Drawn:
        """The counts of items."""
        drawn = cls(part)
        for item in items:
            drawn.count(item)
        return drawn

    @property
    def num(self) -> int:
        """Number of items."""
        return self.single + self.multi + self.removed

    def count(self, item: Document | Removed) -> None:
        """Count an item."""
        if isinstance(item, Removed):
            self.removed += 1
        elif len(item.images) > 1:
            self.multi += 1
        else:
            self.single += 1


def draw_documents(
    source: DocumentSource,
    quota: Quota,
    seed: int = 0,
    screen: Screen = Screen(),
    notes: Path | None = None,
    start: int = 0,
) -> Iterator[Document | Removed]:
    """Yield the sampled documents, and the rows that are invalid or filtered out, which don't count.

    Args:
        source: the documents.
        quota: number to sample; not modified.
        seed: random seed of the sampling.
        screen: filters on documents.
        notes: file that records the counts of each part, so that a resumed run can skip it.
        start: number of items to skip, for resuming.
    """
    known = read_notes(notes)
    left = Quota(quota.single, quota.multi)
    position = 0
    for part in parts_in_order(source, quota, seed):
        if left.is_met:
            break
        drawn = known.get(part.name)
        if drawn is not None and position + drawn.num <= start:
            position += drawn.num
        else:
            drawn = Drawn(part.name)
            for item in draw_part(part, left, seed, screen):
                drawn.count(item)
                if position >= start:
                    yield item
                position += 1
            if notes is not None and part.name not in known:
                write_note(notes, drawn)
        left.subtract(drawn.single, drawn.multi)


def parts_in_order(source: DocumentSource, quota: Quota, seed: int) -> Iterator[Part]:
    """The parts of a source in the order in which they are drawn; without a quota, that of the source."""
    if not isinstance(source, PartitionedSource):
        return iter((_Whole(source),))
    return source.parts(None if quota.single is None and quota.multi is None else seed)


def read_notes(path: Path | None) -> dict[str, Drawn]:
    """The counts of the parts that were drawn, by name; an incomplete line, which a kill may leave, is cut off."""
    if path is None or not path.is_file():
        return {}
    text = path.read_text("utf-8")
    if not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
        write_text(path, text)
    return {drawn.part: drawn for drawn in (Drawn(**json.loads(line)) for line in text.splitlines())}


def write_note(path: Path, drawn: Drawn) -> None:
    """Append the counts of a part."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(drawn)) + "\n")


def draw_part(part: Part, left: Quota, seed: int, screen: Screen) -> Iterator[Document | Removed]:
    """The sampled documents of one part; it is read twice only if it exceeds the remaining quota."""
    chosen: dict[bool, set[int]] | None = None
    limits = [number for number in (left.single, left.multi) if number]
    if limits and (part.num_rows is None or part.num_rows > min(limits)):
        chosen = _choose(part, left, seed, screen)
    for index, item in enumerate(part):
        removed = item if isinstance(item, Removed) else screen.reason_to_skip(item)
        if removed is not None:
            yield removed
        elif isinstance(item, Document) and _is_drawn(item, index, left, chosen):
            yield item


def _is_drawn(document: Document, index: int, left: Quota, chosen: dict[bool, set[int]] | None) -> bool:
    number = left.of(document)
    return number is None or (number > 0 and (chosen is None or index in chosen[len(document.images) > 1]))


def _choose(part: Part, left: Quota, seed: int, screen: Screen) -> dict[bool, set[int]]:
    """By kind, indices of the documents with the smallest hashes, as many as the remaining quota."""
    heaps: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    for index, item in enumerate(part):
        if isinstance(item, Removed) or not left.of(item) or screen.reason_to_skip(item) is not None:
            continue
        heap = heaps[len(item.images) > 1]
        heapq.heappush(heap, (-seeded_rank(seed, item.id), index))
        if len(heap) > (left.of(item) or 0):
            heapq.heappop(heap)
    return {multi: {index for _, index in heap} for multi, heap in heaps.items()}


def seeded_rank(seed: int, *names: object) -> int:
    """A pseudo-random number from 0 to 2^64 - 1, determined by seed and names."""
    text = "\x1f".join(str(name) for name in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big")
