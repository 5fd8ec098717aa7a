"""Find images of a finished data set in evaluation sets (contamination), and near-duplicate dialogues within it.

A dialogue is contaminated if any of its images is in an evaluation set; it is a duplicate if an earlier dialogue shows
the same images, exactly or nearly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.filters.dedup import ImageIndex, ImageMatch
from mmcr_dataset.filters.image_sets import read_hashes, read_images
from mmcr_dataset.filters.repeats import ImageLists
from mmcr_dataset.pages.render import PAGES, render_page
from mmcr_dataset.record.images import NEAR_DUPLICATE_BITS, ImageError, decode_rgb, hash_distance, perceptual_hash
from mmcr_dataset.record.load import read_shards
from mmcr_dataset.stage.checks import Reason
from mmcr_dataset.stage.takedowns import Takedowns

PAIRS_SHOWN = 200
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class SharedImages:
    """A dialogue with images that are also elsewhere.

    Attributes:
        id: id of the dialogue.
        set_name: name of the evaluation set, or of the data set itself.
        pairs: number (from 1) of an image of the dialogue, and its match.
    """

    id: str
    set_name: str
    pairs: tuple[tuple[int, ImageMatch[str]], ...]


@dataclass(frozen=True, slots=True)
class SetIndex:
    """Perceptual hashes of an evaluation set; `num_unreadable` of its `num_images` can't be decoded."""

    name: str
    images: ImageIndex[str]
    num_images: int
    num_unreadable: int

    def fingerprint(self) -> str:
        """Hash that changes when the images change."""
        return hashlib.sha256(" ".join(sorted(self.images.phashes())).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Against:
    """What each document is compared with, whatever the other documents are: evaluation sets and takedowns."""

    sets: Sequence[SetIndex]
    taken_out: Takedowns

    def fingerprint(self) -> str:
        """Hash that changes with them."""
        return " ".join([self.taken_out.fingerprint(), *(one.fingerprint() for one in self.sets)])

    def contaminated(self, phashes: Collection[str]) -> dict[str, str]:
        """Which of these hashes are of an image in an evaluation set, and in which."""
        found: dict[str, str] = {}
        for one in self.sets:
            one.images.prepare(phashes)
            matches = ((phash, one.images.find(phash)) for phash in phashes if phash not in found)
            found |= {phash: f"{match.name} of {one.name}" for phash, match in matches if match is not None}
        return found


def reason_contaminated(phashes: Sequence[str], contaminated: Mapping[str, str]) -> Reason | None:
    """Contamination: an image is in an evaluation set. Args: contaminated: of `Against.contaminated`."""
    found = next(((place, phash) for place, phash in enumerate(phashes, start=1) if phash in contaminated), None)
    return None if found is None else ("in_evaluation_set", f"image {found[0]} is {contaminated[found[1]]}")


def index_set(path: Path, bits: int = NEAR_DUPLICATE_BITS) -> SetIndex:
    """Compute the perceptual hashes of an evaluation set.

    Args:
        path: a folder, Parquet or TSV file.
        bits: maximum Hamming distance of near-duplicates.

    Raises:
        ValueError: there is no such path, or no image in it that can be decoded.
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
    """Yield the indexes of several evaluation sets.

    Raises:
        ValueError: as `index_set`, or two sets have the same name.
    """
    names = [path.name for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"two evaluation sets have the name {name!r}; rename one, because reports identify them by name"
            )
    for path in paths:
        yield index_set(path, bits)


def find_contaminated(folder: Path, against: SetIndex) -> list[SharedImages]:
    """Dialogues of a data set folder that show an image of an evaluation set, in row order."""
    found = []
    for row_id, phashes in _read_prepared(folder, against.images):
        pairs = _pairs(phashes, against.images)
        if pairs:
            found.append(SharedImages(row_id, against.name, pairs))
    return found


def find_duplicates(folder: Path, bits: int = NEAR_DUPLICATE_BITS) -> list[SharedImages]:
    """Dialogues of a data set folder that show the same images as an earlier one, in row order."""
    lists, rows = ImageLists(bits), list(_read_rows(folder))
    for _, phashes in rows:
        lists.add(phashes)
    standing = lists.standing()
    found = []
    for number, first in enumerate(lists.first_of(standing).tolist()):
        if first != number:
            (row_id, phashes), (earlier, known) = rows[number], rows[first]
            images = [standing[lists.images_of(one)].tolist() for one in (number, first)]
            places = [images[1].index(image) for image in images[0]]
            matches = (
                ImageMatch(f"{earlier} {place + 1}", known[place], hash_distance(phash, known[place]))
                for phash, place in zip(phashes, places, strict=True)
            )
            found.append(SharedImages(row_id, folder.resolve().name, tuple(enumerate(matches, start=1))))
    return found


def _pairs(phashes: Sequence[str], index: ImageIndex[str]) -> tuple[tuple[int, ImageMatch[str]], ...]:
    matches = ((number, index.find(phash)) for number, phash in enumerate(phashes, start=1))
    return tuple((number, seen) for number, seen in matches if seen is not None)


def _read_prepared(folder: Path, index: ImageIndex[str]) -> Iterator[tuple[str, list[str]]]:
    """Id and perceptual hashes of each row, which are looked up many at once."""
    rows = _read_rows(folder)
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        index.prepare(phash for _, phashes in some for phash in phashes)
        yield from some


def _read_rows(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Id and perceptual hashes of each row; missing hashes are computed from the images."""
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


def show_shared_images(folder: Path, overlaps: Sequence[SharedImages], sets: Sequence[Path]) -> str:
    """An HTML page with both images of the first `PAIRS_SHOWN` pairs.

    Args:
        folder: the data set.
        overlaps: dialogues to show.
        sets: paths of the evaluation sets; empty if the data set was compared with itself.
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
    names = dict.fromkeys(o.set_name for o in overlaps)
    counts = [[set_name, len({o.id for o in overlaps if o.set_name == set_name})] for set_name in names]
    return render_page(
        PAGES / "contamination.html",
        title=f"Shared images of {name}",
        lead="Pairs of images with nearly the same perceptual hash.",
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


def _find_images(folder: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """Yield images of a data set, keyed by `ID NUMBER`; `wanted` are such keys."""
    ids = {key.rpartition(" ")[0] for key in wanted}
    for path, table in read_shards(folder, ["id"]):
        for number, row_id in enumerate(table["id"].to_pylist()):
            if row_id in ids:
                for position, data in enumerate(_read_row_images(path, number), start=1):
                    yield f"{row_id} {position}", data
