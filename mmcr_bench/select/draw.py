"""The draw of the bench: seeded, stratified by topic, without near-duplicate images. Works on ids and hashes alone.

Each topic contributes a number of single-image and of multi-image dialogues (paper 3.3: 10 and 5 of each of 40 topics).
If no dialogue has a topic, all form one group. Dialogues are ordered by the hash of seed and id, so a draw depends
neither on the order of the rows nor on the other rows of the data set.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mmcr_dataset.filters.dedup import ImageIndex

KINDS = ("single", "multi")


@dataclass(frozen=True, slots=True)
class Candidate:
    """The fields of a dialogue that the draw needs.

    Attributes:
        id: id of the dialogue.
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
    """A topic with fewer usable dialogues than requested.

    Attributes:
        topic: None if no dialogue has a topic.
        kind: `single` or `multi`.
        wanted: requested dialogues.
        drawn: drawn dialogues.
        num_candidates: dialogues of this topic and kind.
        num_repeats: those of them that share an image with a dialogue drawn before.
    """

    topic: str | None
    kind: str
    wanted: int
    drawn: int
    num_candidates: int
    num_repeats: int

    def show(self) -> str:
        """One line: what was drawn and what is missing."""
        where = f"topic {self.topic!r}" if self.topic is not None else "all dialogues"
        return (
            f"{where}, {self.kind}: {self.drawn} of {self.wanted} drawn from {self.num_candidates} candidates, "
            f"{self.num_repeats} of them with an image drawn before; {self.wanted - self.drawn} more dialogues with "
            "new images are needed"
        )


@dataclass(frozen=True, slots=True)
class Draw:
    """Ids of the drawn dialogues by topic (sorted), single before multi; and the shortages."""

    ids: tuple[str, ...]
    shortages: tuple[Shortage, ...]
    num_without_topic: int


Images = ImageIndex[str]  # index of the images of a set of dialogues


def add_images(images: Images, candidate: Candidate) -> None:
    """Add the images of a dialogue to an index."""
    for phash in candidate.phashes:
        images.add(phash, candidate.id)


def shares_image(images: Images, candidate: Candidate) -> bool:
    """True if the dialogue shows a duplicate or near-duplicate of an indexed image."""
    return any(images.find(phash) is not None for phash in candidate.phashes)


def draw_bench(candidates: Iterable[Candidate], num_single: int, num_multi: int, seed: int = 0) -> Draw:
    """Draw `num_single` single-image and `num_multi` multi-image dialogues of each topic.

    Args:
        candidates: the dialogues to draw from.
        num_single: single-image dialogues per topic.
        num_multi: multi-image dialogues per topic.
        seed: seed of the draw.

    Raises:
        ValueError: a negative number, duplicate ids, or nothing to draw.
    """
    if min(num_single, num_multi) < 0 or num_single + num_multi == 0:
        raise ValueError(f"{num_single} single and {num_multi} multi dialogues per topic; request at least one")
    groups, num_without_topic = _to_groups(candidates)
    seen = Images()
    ids: list[str] = []
    shortages: list[Shortage] = []
    for topic in sorted({topic for topic, _ in groups}, key=lambda topic: topic or ""):
        for kind, wanted in zip(KINDS, (num_single, num_multi), strict=True):
            group = draw_order(groups.get((topic, kind), ()), seed)
            drawn, num_repeats = _draw_group(group, wanted, seen)
            ids += drawn
            if len(drawn) < wanted:
                shortages.append(Shortage(topic, kind, wanted, len(drawn), len(group), num_repeats))
    if not ids:
        raise ValueError("nothing to draw: no candidate shows an image; check the data set with `describe`")
    return Draw(tuple(ids), tuple(shortages), num_without_topic)


def _to_groups(candidates: Iterable[Candidate]) -> tuple[dict[tuple[str | None, str], list[Candidate]], int]:
    """Candidates by topic and kind, and the number excluded because only others have a topic."""
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


def _draw_group(group: Sequence[Candidate], wanted: int, seen: Images) -> tuple[list[str], int]:
    """Ids of the first `wanted` dialogues without a seen image, and how many were skipped; adds to `seen`."""
    ids: list[str] = []
    num_repeats = 0
    for candidate in group:
        if len(ids) == wanted:
            break
        if shares_image(seen, candidate):
            num_repeats += 1
            continue
        add_images(seen, candidate)
        ids.append(candidate.id)
    return ids, num_repeats


def draw_order(candidates: Iterable[Candidate], seed: int) -> list[Candidate]:
    """Candidates in the order of a draw: by the hash of seed and id, independent of other candidates."""

    def place(candidate: Candidate) -> bytes:
        return hashlib.sha256(f"{seed}\x1f{candidate.id}".encode()).digest()

    return sorted(candidates, key=place)


def find_contaminated(candidates: Sequence[Candidate], drawn_ids: Iterable[str]) -> list[str]:
    """Ids of the dialogues outside the draw that share an image with it: they must not be trained on."""
    drawn = set(drawn_ids)
    images = Images()
    for candidate in candidates:
        if candidate.id in drawn:
            add_images(images, candidate)
    return [one.id for one in candidates if one.id not in drawn and shares_image(images, one)]
