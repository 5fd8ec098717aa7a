"""Load the rows of a benchmark from a local folder or file, or from a pinned revision on the Hub; rows to dialogues."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval_tasks.rows.benchmark_table import HubRows, NotThere, benchmark_files
from eval_tasks.rows.hub_place import hub_id, not_loaded
from eval_tasks.rows.label_sums import REVISIONS
from eval_tasks.rows.label_versions import note_hub
from eval_tasks.rows.row_images import IMAGE_COLUMN, NAN_WORDS, has_no_image, rows_with_images, with_image_files
from eval_tasks.rows.table_files import image_bytes, to_list
from eval_tasks.task import Row
from mmcr_dataset.record.dialogue import Block, Dialogue, DialogueImage, Turn
from mmcr_dataset.record.plain_text import escape_special_tokens, find_unsafe_character


def load_rows(
    data: str | None, hub: HubRows, stem: str | None = None, needs_image: Callable[[Row], bool] | None = None
) -> Iterator[Row]:
    """The rows of a benchmark, images as undecoded bytes or base64.

    Args:
        data: a file, a folder, or a Hub id with its revision (`ORG/NAME@REVISION`); None for `hub`.
        hub: the benchmark's default data set.
        stem: the benchmark's name in file names; None takes any single table of a folder.
        needs_image: tells the rows that can't be asked without an image; None for all rows of a named benchmark.

    Raises:
        ValueError: the data doesn't exist, isn't the benchmark's, can't be read, or a row's image is missing.
    """
    if needs_image is None:

        def needs_image(row: Row) -> bool:
            return stem is not None and not has_no_image(row)

    found = (hub.name, hub.revision or REVISIONS.get(hub.name)) if data is None else hub_id(data)
    if data is not None and found is None:
        files = benchmark_files(Path(data), stem, hub)
    else:
        files = in_lmu_data(stem, hub) if data is None else []
    for path in files:
        yield from rows_with_images(path, needs_image, hub.renamed)
    if not files and found is not None:
        yield from _rows_of_hub(replace(hub, name=found[0], revision=found[1]), needs_image)


def load_parts(data: str | None, parts: Sequence[HubRows], stem: str) -> Iterator[Row]:
    """The rows of a table, or of every part (split or configuration) of a data set on the Hub, one after the other."""
    is_table = in_lmu_data(stem, parts[0]) if data is None else hub_id(data) is None
    for part in parts[:1] if is_table else parts:
        yield from load_rows(data, part, stem)


def _rows_of_hub(hub: HubRows, needs_image: Callable[[Row], bool]) -> Iterator[Row]:
    from datasets import Features, load_dataset_builder

    try:
        builder = load_dataset_builder(hub.name, hub.config, revision=hub.revision)
        builder.download_and_prepare()
        rows = builder.as_dataset(split=hub.split)
    except (OSError, ValueError) as error:
        raise not_loaded(hub.name, hub.revision, error, "FOLDER with its files") from error
    note_hub(hub.name, hub.config, str(builder.hash))  # of a data set on the Hub: its commit
    other = [name for name, feature in rows.features.items() if type(feature).__name__ in ("Audio", "Pdf", "Video")]
    rows = rows.remove_columns(other)  # not asked, and decoding them takes further libraries
    rows = rows.cast(Features({name: _undecoded(feature) for name, feature in rows.features.items()}))
    for number, row in enumerate(rows, start=1):
        cells = hub.renamed({name: cell for name, cell in row.items() if cell is not None})
        yield with_image_files(cells, Path(hub.name), f"{hub.name} row {number}", needs_image)


def _undecoded(feature: Any) -> Any:  # noqa: ANN401  (a feature of datasets)
    """A feature whose images, in lists and structures too, stay bytes."""
    from datasets import Image

    if isinstance(feature, dict):
        return {name: _undecoded(inner) for name, inner in feature.items()}
    if isinstance(feature, list):
        return [_undecoded(inner) for inner in feature]
    if (inner := getattr(feature, "feature", None)) is not None:
        return type(feature)(_undecoded(inner))
    return Image(decode=False) if isinstance(feature, Image) else feature


def in_lmu_data(stem: str | None, hub: HubRows) -> list[Path]:
    """The files of a benchmark in the folder that `LMUData` names in the environment; empty if it has none."""
    place = os.environ.get("LMUData")  # noqa: SIM112  (VLMEvalKit's spelling)
    if not place or stem is None:
        return []
    if not Path(place).is_dir():
        raise ValueError(f"LMUData={place} in the environment: no such folder; pass --data, or unset it")
    try:
        found = benchmark_files(Path(place), stem, hub)
    except NotThere as error:
        log.info("%s; asking the Hub for %s", error, hub.name)
        return []
    log.info("LMUData: reading %s", ", ".join(map(str, found)))
    return found


def require_cells(row: Row, names: Sequence[str], place: str) -> list[Any]:
    """The cells of these required columns.

    Raises:
        ValueError: one is missing or empty.
    """
    for name in names:
        if row.get(name) is None:
            raise ValueError(f"{place}: no {name!r}; the row has {sorted(map(str, row))}")
    return [row[name] for name in names]


def check_gold(row: Row, is_labelled: bool | None, place: str) -> bool:
    """True if the row has a gold answer; the first row decides for all.

    Args:
        row: the row.
        is_labelled: what the rows before have, None for the first.
        place: name of the row, for the error message.

    Raises:
        ValueError: the row differs from those before.
    """
    given = str(row.get("answer", "")).strip() not in ("", "?", *NAN_WORDS)
    if is_labelled is not None and given != is_labelled:
        others = "no answer, which the rows before have" if is_labelled else "an answer, which no row before has"
        raise ValueError(f"{place} has {others}: {sorted(map(str, row))}")
    return given


def with_gold(rows: Iterable[Row], name: str) -> Iterator[tuple[int, Row, bool]]:
    """(number, row, has a gold answer) of the rows of a split, which has gold answers or none."""
    is_labelled: bool | None = None
    for number, row in enumerate(rows):
        is_labelled = check_gold(row, is_labelled, f"{name} row {number}")
        yield number, row, is_labelled


def cells_to_hand_in(row: Row) -> dict[str, Any]:
    """The cells that the file to hand in repeats: all but the images."""
    return {
        name: cell if isinstance(cell, int | float | str) else str(cell)
        for name, cell in row.items()
        if not IMAGE_COLUMN.fullmatch(name)
    }


def images_of(row: Row, place: str) -> list[DialogueImage]:
    """The images of a row: `image`, or `image_1`, `image_2`, ...; none for prediction files without images."""
    cells = to_list(row.get("image"), place) or [
        one for number in range(1, 21) for one in to_list(row.get(f"image_{number}"), place)
    ]
    return [DialogueImage(image_bytes(one, place)) for one in cells]


def to_text(value: object) -> str:
    """A cell as sanitized text: special tokens escaped, unsafe characters removed."""
    text = escape_special_tokens(str(value).replace("\r\n", "\n").replace("\r", "\n"))
    while (character := find_unsafe_character(text)) is not None:
        text = text.replace(character, "")
    return text


def place_images(text: str, num_images: int) -> str:
    """The text with numbered placeholders for `<image>`: `<image 1>`, `<image 2>`, ...

    Placeholders without an image are dropped, as VLMEvalKit's MUIRDataset does; images without one come first.
    """
    pieces = text.split("<image>")
    marks = [f"<image {number}>" if number <= num_images else "" for number in range(1, len(pieces))]
    named = "".join(piece + mark for piece, mark in zip(pieces, [*marks, ""], strict=True))
    return "".join(f"<image {number}>" for number in range(len(pieces), num_images + 1)) + named if marks else named


log = logging.getLogger(__name__)
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
        blocks, shown = _interleaved(text, images, sample_id)
    else:
        shown = list(images)
        blocks = [*range(1, len(shown) + 1), to_text(_PLACE.sub(r"Image \1", text))]
    turn = Turn(tuple(block for block in blocks if block != ""), to_text(reference).strip() or "(none)")
    return Dialogue(sample_id, (turn,), tuple(shown))


def dialogue_of_parts(
    sample_id: str, images: Sequence[DialogueImage], parts: Sequence[str | int], reference: str
) -> Dialogue:
    """A single-turn dialogue of texts and numbers of images, from 1; an image may stand at several places.

    Raises:
        ValueError: a part names an image that the row doesn't have.
    """
    shown: list[DialogueImage] = []
    blocks: list[Block] = []
    for part in parts:
        if isinstance(part, str):
            said = to_text(part)
            if blocks and isinstance(blocks[-1], str):
                blocks[-1] += said
            elif said:
                blocks.append(said)
            continue
        if part > len(images):
            raise ValueError(f"sample {sample_id!r}: <image {part}> is missing, the row has {len(images)} images")
        shown.append(images[part - 1])
        blocks.append(len(shown))
    return Dialogue(sample_id, (Turn(tuple(blocks), to_text(reference).strip() or "(none)"),), tuple(shown))


def _interleaved(text: str, images: Sequence[DialogueImage], sample_id: str) -> tuple[list[Block], list[DialogueImage]]:
    """Blocks with each image at its placeholder; a repeated placeholder shows its image once.

    Raises:
        ValueError: a placeholder names an image that the row doesn't have.
    """
    blocks: list[Block] = []
    shown: list[DialogueImage] = []
    numbers: set[int] = set()
    for index, piece in enumerate(_PLACE.split(text)):
        number = int(piece) if index % 2 else 0
        if number > len(images):
            raise ValueError(
                f"sample {sample_id!r}: <image {number}> of the question is missing, the row has {len(images)}"
            )
        if number and number not in numbers:
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
