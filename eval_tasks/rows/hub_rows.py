"""Load the rows of a benchmark from a local folder or file, or from a pinned revision on the Hub; rows to dialogues."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval_tasks.rows.table_files import image_bytes, read_table, table_files, to_list
from eval_tasks.task import Row
from mmcr_dataset.record.dialogue import Block, Dialogue, DialogueImage, Turn
from mmcr_dataset.record.plain_text import escape_special_tokens, find_unsafe_character

_INDEX_LENGTH = 64  # characters: base64 images are longer, indices shorter


@dataclass(frozen=True, slots=True)
class HubRows:
    """A data set on the Hub: its id, split, configuration and pinned revision."""

    name: str
    split: str
    config: str | None = None
    revision: str | None = None


def load_rows(data: str | None, hub: HubRows, stem: str | None = None) -> Iterator[Row]:
    """The rows of a benchmark, images as undecoded bytes or base64.

    Args:
        data: a file, a folder, or a Hub id; None for `hub`.
        hub: the benchmark's default data set.
        stem: file name prefix of the table in a folder with several.

    Raises:
        ValueError: the data doesn't exist or can't be read.
    """
    if data is not None and (Path(data).exists() or data.startswith((".", "/")) or data.count("/") != 1):
        for path in table_files(Path(data), stem):
            yield from _with_shared_images(path)
        return
    from datasets import Image, load_dataset

    try:
        rows = load_dataset(data or hub.name, hub.config, split=hub.split, revision=None if data else hub.revision)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{data or hub.name} can't be loaded from the Hub ({error}); pass --data FOLDER with its files"
        ) from error
    for name, feature in rows.features.items():
        if isinstance(feature, Image):
            rows = rows.cast_column(name, Image(decode=False))
    yield from rows


def _with_shared_images(path: Path) -> Iterator[Row]:
    """Rows of a file; an `image` that is the index of another row is resolved to its image (VLMEvalKit's rotations)."""
    images: dict[str, str] = {}
    for number, row in enumerate(read_table(path), start=1):
        image = row.get("image")
        if isinstance(image, str) and len(image) <= _INDEX_LENGTH:
            if image not in images:
                raise ValueError(f"{path} row {number}: image {image!r} is not the index of an earlier row")
            row = {**row, "image": images[image]}
        elif isinstance(image, str):
            images[str(row.get("index"))] = image
        yield row


def require_cells(row: Row, names: Sequence[str], place: str) -> list[Any]:
    """The cells of these required columns.

    Raises:
        ValueError: one is missing or empty.
    """
    for name in names:
        if row.get(name) is None:
            raise ValueError(f"{place}: no {name!r}; the row has {sorted(map(str, row))}")
    return [row[name] for name in names]


def images_of(row: Row, place: str) -> list[DialogueImage]:
    """The images of a row's `image` column; none for prediction files without images."""
    return [DialogueImage(image_bytes(one, place)) for one in to_list(row.get("image"), place)]


def to_text(value: object) -> str:
    """A cell as sanitized text: special tokens escaped, unsafe characters removed."""
    text = escape_special_tokens(str(value).replace("\r\n", "\n").replace("\r", "\n"))
    while (character := find_unsafe_character(text)) is not None:
        text = text.replace(character, "")
    return text


_PLACE = re.compile(r"<image\s*(\d+)>", re.IGNORECASE)


def single_turn_dialogue(sample_id: str, images: Sequence[DialogueImage], text: str, reference: str) -> Dialogue:
    """A single-turn dialogue: the images first, or at the placeholders `<image 1>` of the text.

    Args:
        sample_id: id of the dialogue.
        images: its images.
        text: the prompt.
        reference: the reference answer.
    """
    places = [int(number) for number in _PLACE.findall(text)]
    if places and images:
        blocks, shown = _interleaved(text, images)
    else:
        shown = list(images)
        blocks = [*range(1, len(shown) + 1), to_text(_PLACE.sub(r"Image \1", text))]
    turn = Turn(tuple(block for block in blocks if block != ""), to_text(reference).strip() or "(none)")
    return Dialogue(sample_id, (turn,), tuple(shown))


def _interleaved(text: str, images: Sequence[DialogueImage]) -> tuple[list[Block], list[DialogueImage]]:
    """Blocks with each image at its placeholder; a repeated placeholder shows its image once."""
    blocks: list[Block] = []
    shown: list[DialogueImage] = []
    numbers: set[int] = set()
    for index, piece in enumerate(_PLACE.split(text)):
        number = int(piece) if index % 2 else 0
        if number and number <= len(images) and number not in numbers:
            numbers.add(number)
            shown.append(images[number - 1])
            blocks.append(len(shown))
            continue
        said = f"image {number}" if index % 2 else to_text(piece)
        if blocks and isinstance(blocks[-1], str):
            blocks[-1] += said
        elif said:
            blocks.append(said)
    return blocks, shown
