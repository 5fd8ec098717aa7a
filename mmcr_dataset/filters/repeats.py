"""Repeated documents: those that show the same images as an earlier one, exactly or as near-duplicates, in any order.

An image stands for itself, unless an earlier image that stands for itself is within the distance: then the earliest of
these stands for it. A document repeats an earlier one if the same images stand for the images of both. An answer does
not change with the documents that come later, so that an exact copy is always found.

    hashes -> tables of near pairs (by ranks if there are many) -> which image stands for which -> repeats
"""

from __future__ import annotations

import hashlib
import shutil
from array import array
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmcr_dataset.filters import near_pairs
from mmcr_dataset.filters.near_pairs import Hashes, NearPairs, Pairs, check_bits, join_pairs, num_tables
from mmcr_dataset.record.images import NEAR_DUPLICATE_BITS
from mmcr_dataset.stage.engine import EngineSettings
from mmcr_dataset.stage.progress import open_bar
from mmcr_dataset.stage.shard_job import run_shards

IMAGES_OF_ONE_PROCESS = 2_000_000  # fewer take some seconds: not worth a job of a queue
_GROUPS_AT_ONCE = 1 << 16

Places = NDArray[np.uint32]  # there are fewer than 2^32


class ImageLists:
    """The perceptual hashes of documents, in order.

    Args:
        bits: maximum Hamming distance of near-duplicates, 0 to `BITS_MAX`.

    Raises:
        ValueError: `bits` is out of range.
    """

    def __init__(self, bits: int = NEAR_DUPLICATE_BITS) -> None:
        self._bits = check_bits(bits)
        self._hashes, self._ends = array("Q"), array("Q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, phashes: Sequence[str]) -> None:
        """Add a document."""
        self._hashes.extend(int(phash, 16) for phash in phashes)
        self._ends.append(len(self._hashes))

    def extend(self, hashes: Hashes, ends: NDArray[np.int64]) -> None:
        """Add documents by the hashes of all their images, and where in these each document ends."""
        self._ends.frombytes((ends.astype(np.uint64) + np.uint64(len(self._hashes))).tobytes())
        self._hashes.frombytes(hashes.tobytes())

    def images_of(self, document: int) -> slice:
        """Which of the images are of a document."""
        return slice(self._ends[document], self._ends[document + 1])

    def standing(self) -> Places:
        """Of each image the number of the one that stands for it, the same number for equal and near images."""
        distinct, numbers = self._distinct()
        return _leaders(distinct, _find_pairs(distinct, self._bits), self._bits)[numbers]

    def standing_on(self, work: Path, engine: EngineSettings) -> Places | None:
        """As `standing`, many images by ranks of an engine; None if a job was submitted to a queue.

        Args:
            work: the work folder.
            engine: where the ranks run.
        """
        if engine.name == "local" or len(self._hashes) < IMAGES_OF_ONE_PROCESS:
            return self.standing()
        distinct, numbers = self._distinct()
        pairs = _find_pairs_on_ranks(distinct, self._bits, work, engine)
        return None if pairs is None else _leaders(distinct, pairs, self._bits)[numbers]

    def _distinct(self) -> tuple[Hashes, Places]:
        """The distinct hashes in the order of their first images, and of each image the number of its hash."""
        hashes = np.frombuffer(self._hashes, np.uint64)
        first = first_equal(hashes)
        is_first = first == np.arange(len(first), dtype=np.uint32)
        numbers: Places = np.cumsum(is_first, dtype=np.uint32)[first]
        return hashes[is_first], numbers - np.uint32(1)

    def first_of(self, standing: Places) -> Places:
        """Of each document the first one for whose images the same images stand; itself if it has none."""
        ends = np.frombuffer(self._ends, np.uint64)
        starts, sizes = ends[:-1], np.diff(ends).astype(np.uint32)
        result: Places = np.arange(len(sizes), dtype=np.uint32)
        for size in np.unique(sizes[sizes > 0]).tolist():
            documents = np.flatnonzero(sizes == size).astype(np.uint32)
            columns = np.stack([standing[starts[documents] + np.uint64(place)] for place in range(size)])
            columns.sort(axis=0)
            found = first_equal(columns[0])
            for column in columns[1:]:
                found = first_equal(found.astype(np.uint64) << np.uint64(32) | column)
            result[documents] = documents[found]
        return result


def first_equal(values: Hashes | Places) -> Places:
    """Of each value the place of the first equal one."""
    order = np.argsort(values, kind="stable").astype(np.uint32)
    is_new = np.ones(len(values), bool)
    ordered = values[order]
    np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:])
    del ordered
    starts = np.flatnonzero(is_new)
    result: Places = np.empty(len(values), np.uint32)
    result[order] = np.repeat(order[starts], np.diff(starts, append=len(values)))
    return result


def _leaders(hashes: Hashes, pairs: Pairs, bits: int) -> Places:
    """Of each distinct hash the place of the one that stands for it."""
    leaders = np.arange(len(hashes), dtype=np.uint32)
    later, earlier = (pairs >> np.uint64(32)).astype(np.uint32), pairs.astype(np.uint32)
    bounds = np.append(np.flatnonzero(np.diff(later, prepend=np.uint32(0)) != 0), len(pairs))  # no pair has later == 0
    for at in range(0, len(bounds) - 1, _GROUPS_AT_ONCE):
        some = bounds[at : at + _GROUPS_AT_ONCE + 1]
        places, others = later[some[:-1]].tolist(), earlier[some[0] : some[-1]].tolist()
        ends = (some - some[0]).tolist()
        for place, start, end in zip(places, ends, ends[1:], strict=False):
            leader = next((other for other in others[start:end] if leaders[other] == other), None)
            if leader is None and end - start == near_pairs.PAIRS_A_HASH:  # it may have more of them
                leader = _earliest_leader(hashes, leaders, place, bits)
            if leader is not None:
                leaders[place] = leader
    return leaders


def _earliest_leader(hashes: Hashes, leaders: Places, place: int, bits: int) -> int | None:
    """By comparing with all earlier hashes."""
    is_near = np.bitwise_count(hashes[:place] ^ hashes[place]) <= bits
    found = np.flatnonzero(is_near)
    return next((int(other) for other in found if leaders[other] == other), None)


def _find_pairs(hashes: Hashes, bits: int) -> Pairs:
    search, tables = NearPairs(hashes, bits), range(num_tables(bits))
    with open_bar("dedup", "table", len(tables)) as bar:

        def find(table: int) -> Pairs:
            found = search.find(table)
            bar.update()
            return found

        return join_pairs(map(find, tables))


def _find_pairs_on_ranks(hashes: Hashes, bits: int, work: Path, engine: EngineSettings) -> Pairs | None:
    """As `_find_pairs`, a rank searches every n-th table; None if the job was submitted to a queue."""
    folder = work.resolve() / "dedup" / f"{hashlib.sha256(hashes.tobytes()).hexdigest()[:16]}-{bits}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "hashes.npy").is_file():
        _save(folder / "hashes.npy", hashes)
    todo = [table for table in range(num_tables(bits)) if not _table_path(folder, table).is_file()]
    if not run_shards("dedup", partial(_search_tables, folder, bits), todo, work, engine):
        return None
    pairs = join_pairs(np.load(_table_path(folder, table)) for table in range(num_tables(bits)))
    shutil.rmtree(folder.parent)
    return pairs


def _search_tables(folder: Path, bits: int, tables: Iterable[int], rank: int) -> None:
    """Search tables; runs in a process of the engine."""
    search = NearPairs(np.load(folder / "hashes.npy", mmap_mode="r"), bits)
    for table in tables:
        _save(_table_path(folder, table), search.find(table))


def _table_path(folder: Path, table: int) -> Path:
    return folder / f"{table:05d}.npy"


def _save(path: Path, values: NDArray[np.uint64]) -> None:
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("wb") as file:
        np.save(file, values)
    unfinished.replace(path)
