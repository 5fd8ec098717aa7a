"""What is found about the documents of a shard by itself, and which of them repeat others: a folder of small files.

    00000.json        of a rank: ids, and why documents are dropped whatever the other shards hold (place -> reason)
    00000.npy         of a rank: place, perceptual hash and similarity of the images of the others
    00000.drops.json  of one process: why further ones are dropped, in comparison with other shards

The shards themselves are read by ranks only. One process reads the arrays, about 20 bytes an image.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcr_dataset.stage.stages import numbered, write_text

IMAGE = np.dtype([("place", np.uint32), ("phash", np.uint64), ("similarity", np.float64)])
Reason = tuple[str, str]  # name for counting, detail
Images = NDArray[np.void]  # of IMAGE, in the order of the documents
Drop = tuple[int, int, Reason]  # number of the shard, place in it, why


class Checks:
    """The files of a folder.

    Args:
        folder: the folder; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(
        self,
        number: int,
        key: str,
        ids: Sequence[str],
        reasons: Mapping[int, Reason],
        images: Sequence[tuple[int, str, float]],
    ) -> None:
        """Write what was found about a shard.

        Args:
            number: of the shard.
            key: what it was found from.
            ids: of its documents.
            reasons: place -> why the document is dropped.
            images: place, perceptual hash and similarity (NaN without one) of each image of the other documents.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [(place, int(phash, 16), similarity) for place, phash, similarity in images]
        unfinished = self._path(number, "npy.unfinished")
        with unfinished.open("wb") as file:
            np.save(file, np.array(rows, IMAGE))
        unfinished.replace(self._path(number, "npy"))
        write_text(self._path(number, "json"), json.dumps({"key": key, "ids": ids, "reasons": reasons}))

    def has(self, number: int, key: str) -> bool:
        """Whether a shard's files were found from this."""
        return self._path(number, "json").is_file() and self._read(number)["key"] == key

    def keep_only(self, numbers: Collection[int]) -> None:
        """Delete the files of other shards, left by a larger build."""
        for suffix in ("json", "npy", "drops.json"):
            for number, path in numbered(self.folder, suffix):
                if number not in numbers:
                    path.unlink()

    def reasons(self, number: int) -> dict[int, Reason]:
        """Place -> why a document of a shard is dropped."""
        found: dict[str, Any] = {}
        if self._path(number, "json").is_file():
            found |= self._read(number)["reasons"]
        if self._path(number, "drops.json").is_file():
            found |= json.loads(self._path(number, "drops.json").read_text("utf-8"))
        return {int(place): (reason, detail) for place, (reason, detail) in found.items()}

    def ids(self, number: int) -> list[str]:
        """The ids of a shard's documents."""
        ids: list[str] = self._read(number)["ids"]
        return ids

    def images(self, number: int, least: Mapping[str, float | None] | None = None) -> Images:
        """The images of a shard's documents that are not dropped.

        Args:
            number: of the shard.
            least: kind -> lowest similarity of a document's worst image.
        """
        images: Images = np.load(self._path(number, "npy"))
        limits = [
            -np.inf if limit is None else limit for limit in ((least or {}).get(kind) for kind in ("single", "multi"))
        ]
        if not len(images) or limits == [-np.inf, -np.inf]:
            return images
        starts, sizes = documents_of(images)
        worst = np.minimum.reduceat(images["similarity"], starts)
        is_low = worst < np.where(sizes == 1, *limits)  # never, without a similarity
        return images[np.repeat(~is_low, sizes)]

    def numbers(self) -> list[int]:
        """Of all shards."""
        return [number for number, _ in numbered(self.folder, "npy")]

    def drop(self, drops: Iterable[Drop]) -> None:
        """Write why further documents are dropped, in place of what was. Args: drops: in the order of the shards."""
        earlier = {number for number, _ in numbered(self.folder, "drops.json")}
        for number, some in groupby(drops, key=itemgetter(0)):
            write_text(self._path(number, "drops.json"), json.dumps({place: reason for _, place, reason in some}))
            earlier.discard(number)
        for number in earlier:
            self._path(number, "drops.json").unlink()

    def _read(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._path(number, "json").read_text("utf-8"))
        return found

    def _path(self, number: int, suffix: str) -> Path:
        return self.folder / f"{number:05d}.{suffix}"


def documents_of(images: Images) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each document's images start, and how many it has."""
    starts = np.flatnonzero(np.diff(images["place"].astype(np.int64), prepend=-1))
    return starts, np.diff(np.append(starts, len(images)))
