"""What a rank does with one part of a source: counts its documents, or draws them and fetches their images in pieces.

1_fetched/SETTINGS/00007/visit.pickle                 the part, and what to do with it
                         counts.json                  its documents by kind, and whether they are fetched
                         00000.parquet, 00000.json    candidates and removed rows of each 100 documents
"""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import NamedTuple

from mmcr_dataset.collect.candidates import CandidateWriter, read_candidates
from mmcr_dataset.collect.document import Candidate, sanitize
from mmcr_dataset.collect.draw import Drawn, Part, Quota, draw_part
from mmcr_dataset.collect.screen import Screen
from mmcr_dataset.collect.shards import KNOWN
from mmcr_dataset.collect.web.fetch_settings import FetchSettings
from mmcr_dataset.collect.web.window import Item, fetch_in_order
from mmcr_dataset.record.images import ImageLimits
from mmcr_dataset.stage.stages import Removed, write_text

DOCUMENTS_A_PIECE = 100
_END = Removed("", "end", "")  # follows the last document of a part


@dataclass(frozen=True, slots=True)
class VisitTask:
    """What a rank needs: folder of the visits, seed and filters of the draw, its share of the fetcher, image limits."""

    folder: Path
    seed: int
    screen: Screen
    fetch: FetchSettings
    limits: ImageLimits


@dataclass(frozen=True, slots=True)
class Visit:
    """A part, and what to do with it.

    Attributes:
        part: the part.
        left: the quota before it; None to count its documents without a quota, and fetch none.
        num_known: how many of its first drawn documents are in finished shards.
        again: ids of those among them that are fetched again.
    """

    part: Part
    left: Quota | None
    num_known: int = 0
    again: frozenset[str] = frozenset()


class Visited(NamedTuple):
    """What is known of a visited part: its documents by kind, and whether their images are fetched."""

    counts: Drawn
    is_fetched: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the result of a document goes: folder of the part, number of the piece; its counts, after the last one."""

    folder: Path
    piece: int
    counts: Drawn | None = None


def write_visit(folder: Path, number: int, visit: Visit) -> None:
    """Write a visit for a rank."""
    path = _part_folder(folder, number) / "visit.pickle"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(pickle.dumps(visit))
    unfinished.replace(path)


def read_counts(folder: Path, number: int) -> Visited | None:
    """The counts of a part, drawn or all of them; None before it is visited."""
    path = _part_folder(folder, number) / "counts.json"
    if not path.is_file():
        return None
    value = json.loads(path.read_text("utf-8"))
    return Visited(Drawn(**value["counts"]), value["is_fetched"])


def visit_parts(task: VisitTask, numbers: Iterable[int], rank: int) -> None:
    """Visit parts; runs in a process of the engine. Pieces that are finished are not fetched again."""
    asyncio.run(_fetch(task, numbers))


async def _fetch(task: VisitTask, numbers: Iterable[int]) -> None:
    piece: list[Candidate | Removed] = []
    async with aclosing(fetch_in_order(_to_items(task, numbers), task.fetch, task.limits)) as results:
        async for place, result in results:
            if place.counts is None:
                piece.append(result)
            if piece and (place.counts is not None or len(piece) == DOCUMENTS_A_PIECE):
                _write_piece(place, piece)
                piece = []
            if place.counts is not None:
                _write_counts(place.folder, place.counts, is_fetched=True)


def _to_items(task: VisitTask, numbers: Iterable[int]) -> Iterator[tuple[_Place, Item]]:
    """The documents to fetch; parts that are only counted are counted here."""
    for number in numbers:
        folder = _part_folder(task.folder, number)
        visit: Visit = pickle.loads((folder / "visit.pickle").read_bytes())  # noqa: S301  (written by this program)
        if visit.left is None:
            items = draw_part(visit.part, Quota(None, None), task.seed, task.screen)
            _write_counts(folder, Drawn.of(visit.part.name, items), is_fetched=False)
            continue
        counts, is_finished, at = Drawn(visit.part.name), False, -1
        for at, item in enumerate(draw_part(visit.part, visit.left, task.seed, task.screen)):
            counts.count(item)
            piece, place = divmod(at, DOCUMENTS_A_PIECE)
            is_finished = _piece_path(folder, piece, "json").is_file() if place == 0 else is_finished
            if not is_finished:
                item = sanitize(item)
                is_known = at < visit.num_known and item.id not in visit.again
                yield _Place(folder, piece), Removed(item.id, KNOWN, "") if is_known else item
        yield _Place(folder, at // DOCUMENTS_A_PIECE, counts), _END


def _write_counts(folder: Path, counts: Drawn, is_fetched: bool) -> None:
    write_text(folder / "counts.json", json.dumps({"counts": asdict(counts), "is_fetched": is_fetched}))


def _write_piece(place: _Place, results: list[Candidate | Removed]) -> None:
    writer = CandidateWriter(_piece_path(place.folder, place.piece, "parquet"))
    for result in results:
        if isinstance(result, Candidate):
            writer.add(result)
    writer.close()
    removed = {at: asdict(result) for at, result in enumerate(results) if isinstance(result, Removed)}
    write_text(_piece_path(place.folder, place.piece, "json"), json.dumps({"size": len(results), "removed": removed}))


def read_results(folder: Path, number: int) -> Iterator[Candidate | Removed]:
    """What was found for the documents of a fetched part, in order."""
    visited = read_counts(folder, number)
    assert visited is not None, f"{_part_folder(folder, number)}: not visited"
    for piece in range(ceil(visited.counts.num / DOCUMENTS_A_PIECE)):
        path = _piece_path(_part_folder(folder, number), piece, "json")
        found = json.loads(path.read_text("utf-8"))
        candidates = iter(read_candidates(path.with_suffix(".parquet")))
        for at in range(found["size"]):
            removed = found["removed"].get(str(at))
            yield next(candidates) if removed is None else Removed(**removed)


def _part_folder(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}"


def _piece_path(part: Path, piece: int, suffix: str) -> Path:
    return part / f"{piece:05d}.{suffix}"
