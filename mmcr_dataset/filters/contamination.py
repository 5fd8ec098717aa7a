"""Images that a finished data set shares with evaluation sets, or shows twice: what leaks, and what repeats.

A dialogue overlaps with an evaluation set if any of its images is there; it repeats the data set if an earlier
dialogue shows the same images, exactly or nearly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.filters.dedup import ImageIndex, RepeatIndex, Seen
from mmcr_dataset.filters.image_sets import read_hashes, read_images
from mmcr_dataset.pages.render import PAGES, render_page
from mmcr_dataset.record.images import NEAR_DUPLICATE_BITS, ImageError, decode_rgb, perceptual_hash
from mmcr_dataset.record.load import read_shards

PAIRS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Overlap:
    """One dialogue that shares images.

    Attributes:
        id: of the dialogue.
        set_name: the evaluation set, or the data set itself.
        pairs: number (from 1) of an image of the dialogue, and the image that it is nearly.
    """

    id: str
    set_name: str
    pairs: tuple[tuple[int, Seen[str]], ...]


@dataclass(frozen=True, slots=True)
class SetIndex:
    """An evaluation set that was read: its name, its images, and how many of them can't be decoded."""

    name: str
    images: ImageIndex[str]
    num_images: int
    num_unreadable: int

    def fingerprint(self) -> str:
        """Changes when its images do."""
        return hashlib.sha256(" ".join(sorted(self.images.phashes())).encode()).hexdigest()


def index_set(path: Path, bits: int = NEAR_DUPLICATE_BITS) -> SetIndex:
    """The images of an evaluation set by their perceptual hashes.

    Raises:
        ValueError: nothing there, no image in it, or not one that can be decoded.
    """
    index: ImageIndex[str] = ImageIndex(bits)
    num_images = num_unreadable = 0
    for name, phash in read_hashes(path):
        num_images += 1
        if isinstance(phash, ImageError):
            num_unreadable += 1
        else:
            index.add(phash, name)
    if num_unreadable == num_images:
        raise ValueError(f"{path}: none of the {num_images} images can be decoded, nothing to compare with")
    return SetIndex(path.name, index, num_images, num_unreadable)


def index_sets(paths: Sequence[Path], bits: int = NEAR_DUPLICATE_BITS) -> Iterator[SetIndex]:
    """Several evaluation sets, one after the other; what is removed is logged under their names.

    Raises:
        ValueError: what `index_set` raises, or two of them have one name.
    """
    names = [path.name for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two evaluation sets are called {name!r}; rename one, so that reports tell them apart")
    for path in paths:
        yield index_set(path, bits)


def find_overlaps(folder: Path, against: SetIndex) -> list[Overlap]:
    """Dialogues of a published folder that show an image of an evaluation set, in the order of the rows."""
    found = []
    for row_id, phashes in _read_rows(folder):
        pairs = _pairs(phashes, against.images)
        if pairs:
            found.append(Overlap(row_id, against.name, pairs))
    return found


def find_repeats(folder: Path, bits: int = NEAR_DUPLICATE_BITS) -> list[Overlap]:
    """Dialogues of a published folder that show the images of an earlier one, in the order of the rows."""
    seen = RepeatIndex(bits)
    found = []
    phashes_of: dict[str, list[str]] = {}
    for row_id, phashes in _read_rows(folder):
        earlier = seen.find(phashes)
        if earlier is None:
            seen.add(phashes, row_id)
            phashes_of[row_id] = phashes
            continue
        index: ImageIndex[str] = ImageIndex(bits)
        for number, phash in enumerate(phashes_of[earlier], start=1):
            index.add(phash, f"{earlier} {number}")
        found.append(Overlap(row_id, folder.resolve().name, _pairs(phashes, index)))
    return found


def _pairs(phashes: Sequence[str], index: ImageIndex[str]) -> tuple[tuple[int, Seen[str]], ...]:
    matches = ((number, index.find(phash)) for number, phash in enumerate(phashes, start=1))
    return tuple((number, seen) for number, seen in matches if seen is not None)


def _read_rows(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Id and perceptual hashes of each row; hashes that are not stored are made from the images."""
    any_row = False
    for path, table in read_shards(folder, ["id", "image_phash"]):
        for number, row in enumerate(table.to_pylist()):
            any_row = True
            phashes = row["image_phash"] or []
            if not phashes or None in phashes:
                phashes = [perceptual_hash(decode_rgb(data)) for data in _read_row_images(path, number)]
            yield row["id"], phashes
    if not any_row:
        raise ValueError(f"{folder}: no rows; expected a folder written by `python -m mmcr_dataset build`")


def _read_row_images(path: Path, number: int) -> list[bytes]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if number < size:
                column: pa.ChunkedArray = file.read_row_group(group, columns=["images"])["images"]
                return [image["bytes"] for image in column[number].as_py()]
            number -= size
    raise AssertionError("unreachable: the row was read from this file")


def show_overlaps(folder: Path, overlaps: Sequence[Overlap], sets: Sequence[Path]) -> str:
    """A page with both images of every pair side by side, the first `PAIRS_SHOWN`.

    Args:
        folder: the data set.
        overlaps: what was found.
        sets: where the evaluation sets lie; empty if the data set was compared with itself.
    """
    name = folder.resolve().name
    shown = [(o, number, seen) for o in overlaps for number, seen in o.pairs][:PAIRS_SHOWN]
    ours = {f"{o.id} {number}" for o, number, _ in shown}
    left = dict(_find_images(folder, ours))
    if sets:
        wanted = {(o.set_name, seen.name) for o, _, seen in shown}
        right = {
            (path.name, image.name): image.data
            for path in sets
            for image in read_images(path)
            if (path.name, image.name) in wanted
        }
    else:
        others = dict(_find_images(folder, {seen.name for _, _, seen in shown}))
        right = {(name, seen.name): others[seen.name] for _, _, seen in shown}
    counts = [[set_name, len({o.id for o in overlaps if o.set_name == set_name})] for set_name in _names(overlaps)]
    return render_page(
        PAGES / "contamination.html",
        title=f"Overlap of {name}",
        lead="Images that are the same by their perceptual hash.",
        counts=counts,
        pairs=[
            (
                (f"{name} {o.id}, image {number}", left[f"{o.id} {number}"]),
                (f"{o.set_name} {seen.name}, {seen.num_bits} of 64 bits differ", right[o.set_name, seen.name]),
            )
            for o, number, seen in shown
        ],
        num_more=sum(len(o.pairs) for o in overlaps) - len(shown),
    )


def _names(overlaps: Iterable[Overlap]) -> list[str]:
    return list(dict.fromkeys(overlap.set_name for overlap in overlaps))


def _find_images(folder: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """Images of a data set by `ID NUMBER`."""
    ids = {key.rpartition(" ")[0] for key in wanted}
    for path, table in read_shards(folder, ["id"]):
        for number, row_id in enumerate(table["id"].to_pylist()):
            if row_id in ids:
                for position, data in enumerate(_read_row_images(path, number), start=1):
                    yield f"{row_id} {position}", data
