"""A bench in MMDU's own files: benchmark.json with its images, and the table that VLMEvalKit reads.

    benchmark.json   [{"id", "conversations": [{"from": "user" | "assistant", "value"}], "image": ["mmdu_pics/..."]}]
    mmdu_pics/       the images, unchanged
    MMDU.tsv         index, question, answer, image: lists as JSON, images in base64

`<ImageHere>` marks where the next image stands, in both. Source: github.com/Liuziyu77/MMDU, VLMEvalKit's MMDUDataset.
"""

from __future__ import annotations

import base64
import csv
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mmcr_dataset.record.dialogue import MARK_BEFORE_IMAGE, Dialogue, Turn
from mmcr_dataset.record.images import open_image

MARK = "<ImageHere>"
TABLE_NAME, CONTENT_NAME, IMAGES_NAME = "MMDU.tsv", "benchmark.json", "mmdu_pics"
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png"}


def write_mmdu_files(folder: Path, dialogues: Sequence[Dialogue]) -> None:
    """Write both forms into a folder.

    Raises:
        ValueError: an image is neither JPEG nor PNG, which MMDU's readers expect.
    """
    (folder / IMAGES_NAME).mkdir()
    content = []
    with (folder / TABLE_NAME).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(("index", "question", "answer", "image"))
        for dialogue in sorted(dialogues, key=lambda dialogue: dialogue.id):
            names = [_write_image(folder, dialogue, number) for number in range(len(dialogue.images))]
            said = [entry for turn in dialogue.turns for entry in _to_entries(turn)]
            content.append({"id": dialogue.id, "conversations": said, "image": names})
            images = [base64.b64encode(image.data).decode("ascii") for image in dialogue.images]
            questions = [to_question(turn) for turn in dialogue.turns]
            cells = (questions, list(dialogue.references), images)
            table.writerow((dialogue.id, *(json.dumps(cell, ensure_ascii=False) for cell in cells)))  # read by eval()
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    (folder / CONTENT_NAME).write_text(text, encoding="utf-8")


def find_changed_files(folder: Path, dialogues: Sequence[Dialogue]) -> list[str]:
    """Names of MMDU's files in a folder that are not those of its dialogues; none where there are no such files."""
    if not (folder / CONTENT_NAME).is_file():
        return []
    with tempfile.TemporaryDirectory() as place:
        write_mmdu_files(Path(place), dialogues)
        wanted = {path.relative_to(place): path.read_bytes() for path in Path(place).rglob("*") if path.is_file()}
    found = {name: folder / name for name in wanted}
    return sorted(
        name.as_posix() for name, path in found.items() if not path.is_file() or path.read_bytes() != wanted[name]
    )


def to_question(turn: Turn) -> str:
    """The human's words with a mark for each image, which is called `Image n` as in the text, not `Image_n`."""
    blocks = (MARK if isinstance(block, int) else MARK_BEFORE_IMAGE.sub(r"Image \1: ", block) for block in turn.human)
    return "".join(blocks)


def _to_entries(turn: Turn) -> list[dict[str, str]]:
    return [{"from": "user", "value": to_question(turn)}, {"from": "assistant", "value": turn.assistant}]


def _write_image(folder: Path, dialogue: Dialogue, number: int) -> str:
    image = dialogue.images[number]
    kind = open_image(image.data).format or ""
    if kind not in _SUFFIXES:
        raise ValueError(
            f"dialogue {dialogue.id}, image {number + 1} is {kind}; MMDU's readers expect JPEG or PNG: build the data "
            "set with --reencode"
        )
    name = f"{IMAGES_NAME}/{dialogue.id}_{number + 1}{_SUFFIXES[kind]}"
    (folder / name).write_bytes(image.data)
    return name
