"""Which dialogues become the bench: a seeded draw per topic, no image twice. Pure: ids and hashes, no images.

Each topic gives a number of single-image and of multi-image dialogues (paper 3.3: 10 and 5 of each of 40 topics).
Where no dialogue has a topic, all are one group. The order of a draw is the hash of seed and id, so it depends neither
on the order of the rows nor on what else is in the data set.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcr_dataset.record.images import NEAR_DUPLICATE_BITS

KINDS = ("single", "multi")
_BITS_OF_BYTE = np.array([number.bit_count() for number in range(256)], dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the draw needs to know of a dialogue.

    Attributes:
        id: of the dialogue.
        topic: None if it has none.
        phashes: 64-bit perceptual hashes of its images, 16 hex digits each; equal bytes have equal hashes.
    """

    id: str
    topic: str | None
    phashes: tuple[str, ...]

    @property
    def kind(self) -> str | None:
        """`single`, `multi`, or None without an image."""
        return KINDS[min(len(self.phashes), 2) - 1] if self.phashes else None


@dataclass(frozen=True, slots=True)
class Shortage:
    """A topic that can't fill its places.

    Attributes:
        topic: None where no dialogue has a topic.
        kind: `single` or `multi`.
        wanted: places.
        drawn: filled places.
        num_candidates: dialogues of this topic and kind.
        num_repeats: those of them that show an image that was drawn already.
    """

    topic: str | None
    kind: str
    wanted: int
    drawn: int
    num_candidates: int
    num_repeats: int

    def show(self) -> str:
        """One line: what there is and what would be needed."""
        where = f"topic {self.topic!r}" if self.topic is not None else "all dialogues"
        return (
            f"{where}, {self.kind}: {self.drawn} of {self.wanted} drawn from {self.num_candidates} candidates, "
            f"{self.num_repeats} of them with an image drawn before; {self.wanted - self.drawn} more dialogues with "
            "new images are needed"
        )


@dataclass(frozen=True, slots=True)
class Draw:
    """Ids of the drawn dialogues by topic (sorted), single before multi; and what was missing."""

    ids: tuple[str, ...]
    shortages: tuple[Shortage, ...]
    num_without_topic: int


class ImageIndex:
    """The images of some dialogues: tells whether another image is one of them, exactly or nearly."""

    def __init__(self) -> None:
        self._phashes: list[int] = []

    def add(self, candidate: Candidate) -> None:
        """Remember its images."""
        self._phashes += [int(phash, 16) for phash in candidate.phashes]

    def shows_any(self, candidates: Sequence[Candidate]) -> NDArray[np.bool_]:
        """For each dialogue: does it show one of the images?"""
        owners = np.array([row for row, candidate in enumerate(candidates) for _ in candidate.phashes], dtype=np.int64)
        phashes = np.array([int(phash, 16) for c in candidates for phash in c.phashes], dtype=np.uint64)
        near = np.zeros(len(phashes), dtype=np.bool_)
        for known in self._phashes:
            differing = (phashes ^ np.uint64(known)).view(np.uint8).reshape(-1, 8)
            near |= _BITS_OF_BYTE[differing].sum(axis=1) <= NEAR_DUPLICATE_BITS
        shown = np.zeros(len(candidates), dtype=np.bool_)
        shown[owners[near]] = True
        return shown


def draw_bench(candidates: Iterable[Candidate], num_single: int, num_multi: int, seed: int = 0) -> Draw:
    """Draw that many single-image and multi-image dialogues of each topic.

    Raises:
        ValueError: a negative number, two candidates with one id, or nothing to draw.
    """
    if min(num_single, num_multi) < 0 or num_single + num_multi == 0:
        raise ValueError(f"asked for {num_single} single and {num_multi} multi dialogues a topic; ask for at least one")
    groups, num_without_topic = _to_groups(candidates)
    seen = ImageIndex()
    ids: list[str] = []
    shortages: list[Shortage] = []
    for topic in sorted({topic for topic, _ in groups}, key=lambda topic: topic or ""):
        for kind, wanted in zip(KINDS, (num_single, num_multi), strict=True):
            group = to_order(groups.get((topic, kind), ()), seed)
            drawn, num_repeats = _draw_group(group, wanted, seen)
            ids += drawn
            if len(drawn) < wanted:
                shortages.append(Shortage(topic, kind, wanted, len(drawn), len(group), num_repeats))
    if not ids:
        raise ValueError("nothing to draw: no candidate shows an image; check the data set with `describe`")
    return Draw(tuple(ids), tuple(shortages), num_without_topic)


def _to_groups(candidates: Iterable[Candidate]) -> tuple[dict[tuple[str | None, str], list[Candidate]], int]:
    """Candidates by topic and kind, and how many are left out because only others have a topic."""
    groups: dict[tuple[str | None, str], list[Candidate]] = defaultdict(list)
    known: set[str] = set()
    for candidate in candidates:
        if candidate.id in known:
            raise ValueError(f"two dialogues have the id {candidate.id!r}; ids must be unique")
        known.add(candidate.id)
        if candidate.kind is not None:
            groups[candidate.topic, candidate.kind].append(candidate)
    if all(topic is None for topic, _ in groups):
        return groups, 0
    without = sum(len(groups.pop((None, kind), ())) for kind in KINDS)
    return groups, without


def _draw_group(group: Sequence[Candidate], wanted: int, seen: ImageIndex) -> tuple[list[str], int]:
    """Ids of the first `wanted` dialogues that show nothing seen, and how many were passed over; adds to `seen`."""
    ids: list[str] = []
    num_repeats = 0
    for candidate in group:
        if len(ids) == wanted:
            break
        if seen.shows_any([candidate])[0]:
            num_repeats += 1
            continue
        seen.add(candidate)
        ids.append(candidate.id)
    return ids, num_repeats


def to_order(candidates: Iterable[Candidate], seed: int) -> list[Candidate]:
    """Candidates in the order of a draw: by the hash of seed and id, whatever else there is."""

    def place(candidate: Candidate) -> bytes:
        return hashlib.sha256(f"{seed}\x1f{candidate.id}".encode()).digest()

    return sorted(candidates, key=place)


def find_sharing(candidates: Sequence[Candidate], drawn_ids: Iterable[str]) -> list[str]:
    """Ids of the dialogues outside the draw that show a drawn image: they must not be trained on."""
    drawn = set(drawn_ids)
    images = ImageIndex()
    for candidate in candidates:
        if candidate.id in drawn:
            images.add(candidate)
    outside = [candidate for candidate in candidates if candidate.id not in drawn]
    shows = images.shows_any(outside)
    return [candidate.id for candidate, shown in zip(outside, shows, strict=True) if shown]
