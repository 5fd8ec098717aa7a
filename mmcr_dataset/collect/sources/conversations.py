r"""Read existing conversation sets (LLaVA, Ovis, ShareGPT, MMDU-45k, MMCR) as dialogues, texts unchanged.

A file is a JSON list or JSON lines of records, such as

    {"id": "7", "image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\nWhat is it?"}, ...]}
    {"images": ["a.jpg", "b.jpg"], "messages": [{"role": "user", "content": "<image><image>Compare."}, ...]}
    {"image": ["a.jpg"], "conversations": [{"from": "user", "value": "Image-1: <ImageHere> ..."}, ...]}

`<image>`, `<ImageHere>` or an image block marks the position of an image. A record whose images have no mark is
refused, and so is one with a video.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcr_dataset.record.dialogue import (
    MARK_BEFORE_IMAGE,
    Block,
    Dialogue,
    DialogueImage,
    Generation,
    InvalidDialogue,
    Source,
    Turn,
    dialogue_id,
)
from mmcr_dataset.record.images import ImageError, check_mode, decode_rgb, perceptual_hash
from mmcr_dataset.record.paths import find_inside
from mmcr_dataset.record.plain_text import drop_unsafe_characters, escape_special_tokens
from mmcr_dataset.stage.stages import Removed

_SHOWN = re.compile(r"<(?:image|ImageHere)>")
_ROLES = {"human": "human", "user": "human", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_SOURCE = Generation(writer="import")

_VIDEO = re.compile(r"<(?:video|VideoHere)>")

Record = Mapping[str, Any]


class _Refused(ValueError):
    """A record is rejected: the reason, and the detail as message."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class BadRecord:
    """A line or an entry of the file that is no record: the reason, and where and why."""

    reason: str
    detail: str


def read_records(path: Path) -> list[Record | BadRecord]:
    """Read the records of a JSON or JSON Lines file; a bad line is one `BadRecord`, the others are read.

    Raises:
        ValueError: there is no such file, or it is not JSON or not a list of objects.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected conversations as JSON or JSON Lines")
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise ValueError(f"{path}: is UTF-16; write it as UTF-8 (iconv -f UTF-16 -t UTF-8)")
    if path.suffix == ".jsonl":
        lines = path.read_bytes().split(b"\n")
        return [_read_line(line, f"line {number}") for number, line in enumerate(lines, start=1) if line.strip()]
    try:
        records = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error}); the name of a JSON Lines file must end in .jsonl") from error
    if not isinstance(records, list):
        raise ValueError(f"{path}: expected a list of objects with `conversations` or `messages`")
    return [_to_record(record, f"entry {number}") for number, record in enumerate(records)]


def _read_line(line: bytes, place: str) -> Record | BadRecord:
    try:
        return _to_record(json.loads(line.decode("utf-8-sig")), place)
    except (ValueError, RecursionError) as error:
        return BadRecord("not_json", f"{place}: {type(error).__name__}: {error}")


def _to_record(value: object, place: str) -> Record | BadRecord:
    if isinstance(value, dict):
        return value
    return BadRecord("not_an_object", f"{place}: is {type(value).__name__}, expected an object")


def image_names(record: Record) -> list[str]:
    """The image paths of a record, in order."""
    value = record.get("images", record.get("image")) or []
    names = value if isinstance(value, list) else [value]
    return [str(name.get("path")) if isinstance(name, Mapping) else str(name) for name in names]


def to_dialogues(
    records: Iterable[Record | BadRecord], images: Path, licence: str | None = None
) -> Iterator[Dialogue | Removed]:
    """Yield each record as a dialogue, or why it is rejected.

    Args:
        records: from `read_records`.
        images: folder that image paths are relative to.
        licence: license of images and texts.
    """
    seen: dict[str, str] = {}
    for number, record in enumerate(records):
        if isinstance(record, BadRecord):
            yield Removed(f"record {number}", record.reason, record.detail)
            continue
        name = str(record.get("id", f"record {number}"))
        try:
            dialogue = _to_dialogue(record, images, licence)
        except _Refused as refused:
            yield Removed(name, refused.reason, f"record {number}: {refused}")
        except ImageError as error:
            yield Removed(name, error.reason, f"record {number}: {error.detail}")
        except InvalidDialogue as error:
            yield Removed(name, error.invariant, f"record {number}: {error.detail}")
        else:
            if dialogue.id in seen:
                yield Removed(name, "repeated_record", f"record {number}: duplicate of {seen[dialogue.id]}")
                continue
            seen[dialogue.id] = f"record {number}"
            yield dialogue


def _to_dialogue(record: Record, folder: Path, licence: str | None) -> Dialogue:
    exchanges = _to_exchanges(record)
    names = image_names(record)
    if record.get("video") or record.get("videos") or any(_VIDEO.search(human) for human, _ in exchanges):
        raise _Refused("video", "the record has a video; only images can be imported")
    marks = sum(len(_SHOWN.findall(human)) for human, _ in exchanges)
    if names and not marks:
        raise _Refused("no_image_mark", f"{len(names)} images and no <image> that says where they are shown")
    if marks != len(names):
        raise _Refused("marks_and_images_differ", f"{marks} image marks for {len(names)} images, expected as many")
    images = tuple(_read_image(folder, name) for name in names)
    shown = iter(range(1, len(names) + 1))
    turns = [Turn(_to_blocks(human, shown), _plain(answer)) for human, answer in exchanges]
    text = json.dumps([[turn.human, turn.assistant] for turn in turns], ensure_ascii=False)
    row_id = dialogue_id(text, [image.sha256 for image in images], None, None)
    return Dialogue(row_id, tuple(turns), images, source=Source(licence=licence), generation=_SOURCE)


def _to_exchanges(record: Record) -> list[tuple[str, str]]:
    """Question and answer of each turn."""
    entries = record.get("conversations", record.get("messages"))
    if not isinstance(entries, list) or not entries:
        raise _Refused("no_conversation", "neither `conversations` nor `messages` holds a list of turns")
    messages = [_read_entry(entry) for entry in entries]
    roles = [role for role, _ in messages]
    if "system" in roles:
        raise _Refused("system_message", "system messages are not supported; remove it from the file")
    if len(roles) % 2 or roles != ["human", "assistant"] * (len(roles) // 2):
        raise _Refused("alternation", f"roles {roles}, expected human, assistant, human, ...")
    if any(_SHOWN.search(answer) for _, answer in messages[1::2]):
        raise _Refused("image_in_answer", "an answer shows an image; only human turns may")
    texts = [text for _, text in messages]
    return list(zip(texts[::2], texts[1::2], strict=True))


def _read_entry(entry: Any) -> tuple[str, str]:  # noqa: ANN401  (whatever the file holds)
    if not isinstance(entry, Mapping):
        raise _Refused("unknown_entry", f"a turn is {type(entry).__name__}, expected an object")
    role = str(entry.get("from", entry.get("role")))
    if role not in _ROLES:
        raise _Refused("unknown_role", f"{role!r}, expected one of {', '.join(_ROLES)}")
    content = entry.get("value", entry.get("content"))
    if isinstance(content, list):
        content = "".join(_read_block(block) for block in content)
    if not isinstance(content, str):
        raise _Refused("no_text", f"a turn of {role} has {type(content).__name__}, expected text")
    return _ROLES[role], content


def _read_block(block: Any) -> str:  # noqa: ANN401
    kind = block.get("type") if isinstance(block, Mapping) else None
    if kind == "text" and isinstance(block.get("text"), str):
        return str(block["text"])
    if kind in ("image", "image_url"):
        return "<image>"
    raise _Refused("unknown_block", f"{str(block)[:80]}, expected a text or an image block")


def _to_blocks(text: str, shown: Iterator[int]) -> tuple[Block, ...]:
    """A question as blocks; `Image_n: ` before an image is kept if n is the image's number."""
    pieces = _SHOWN.split(text)
    blocks: list[Block] = []
    for number, piece in enumerate(pieces):
        follows = next(shown) if number + 1 < len(pieces) else None
        mark = MARK_BEFORE_IMAGE.search(piece)
        if mark is not None and follows is not None and int(mark[1]) == follows:
            plain = _plain(piece[: mark.start()]) + mark.group()
        else:
            plain = _plain(piece)
        blocks += [block for block in (plain, follows) if block is not None and block != ""]
    return tuple(blocks)


def _plain(text: str) -> str:
    return escape_special_tokens(drop_unsafe_characters(text))


def _read_image(folder: Path, name: str) -> DialogueImage:
    path = find_inside(folder, name)
    if path is None and (Path(name).is_absolute() or ".." in Path(name).parts or os.path.islink(folder / name)):
        raise _Refused("image_outside", f"{name!r} is outside of {folder}")
    if path is None:
        raise _Refused("missing_image", f"{name!r} in {folder}: No such file")
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise _Refused("missing_image", f"{name!r} in {folder}: {error}") from error
    check_mode(data)
    return DialogueImage(data, url=name, phash=perceptual_hash(decode_rgb(data)))


def size_of_images(records: Sequence[Record | BadRecord], images: Path) -> int:
    """Total bytes of the existing images, to choose the number of shards."""
    names = (name for record in records if not isinstance(record, BadRecord) for name in image_names(record))
    paths = (find_inside(images, name) for name in names)
    return sum(path.stat().st_size for path in paths if path is not None)
