"""The record of all packages: a dialogue of several turns about one or more images.

A `Dialogue` is valid by construction: its constructor checks the named invariants of `INVARIANTS` and raises
`InvalidDialogue` with the name of the first that is violated. row.py converts it to the published columns; `to_json`
and `from_json` serialize it without the image bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mmcr_dataset.record.plain_text import find_special_token, find_unsafe_character

TURNS_SINGLE = 4  # paper 3.2: one image, four turns
TURNS_MULTI = 8  # paper 3.2: two to four images, eight turns
MAX_IMAGES = 4  # paper 3.2
INT8_MAX = 127  # num_turns and num_images are published as int8

Block = str | int  # content block of a human turn: text, or the number (from 1) of an image

MARK_BEFORE_IMAGE = re.compile(r"(?:^|(?<=\n))Image_(\d+): $")


class InvalidDialogue(ValueError):
    """A dialogue violates an invariant: `.invariant` is its name, the message gives the place and the expectation."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
        self.detail = detail


@dataclass(frozen=True, slots=True)
class DialogueImage:
    """One image: its original file and metadata.

    Attributes:
        data: bytes of the original file, never re-encoded.
        url: its source: a URL, or a file name within a local source; None if unknown.
        labels: multi-level tags, coarse to fine.
        similarity: cosine (-1..1) of the image and the turns that mention it, None if not computed.
        phash: 64-bit perceptual hash as 16 hex digits, None if not computed.
        known_sha256: stored digest of `data`, None if not stored; read the property `sha256` instead.
    """

    data: bytes = field(repr=False)
    url: str | None = None
    labels: tuple[str, ...] = ()
    similarity: float | None = None
    phash: str | None = None
    known_sha256: str | None = field(default=None, repr=False, compare=False)

    @property
    def sha256(self) -> str:
        """Hex digest of `data`, the image's id within the pipeline. Computed at most once."""
        if self.known_sha256 is None:
            object.__setattr__(self, "known_sha256", hashlib.sha256(self.data).hexdigest())
        assert self.known_sha256 is not None, "set just above"
        return self.known_sha256


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange: the human turn (text and images, in order) and the reference answer."""

    human: tuple[Block, ...]
    assistant: str

    @property
    def introduces(self) -> tuple[int, ...]:
        """Numbers of the images that this turn introduces."""
        return tuple(block for block in self.human if isinstance(block, int))

    @property
    def human_text(self) -> str:
        """Text of the human turn without the images and their marks (`Image_n: ` and its line break)."""
        pieces: list[str] = []
        after_image = False
        for block in self.human:
            if isinstance(block, int):
                if pieces:
                    pieces[-1] = MARK_BEFORE_IMAGE.sub("", pieces[-1])
                after_image = True
            else:
                pieces.append(block.removeprefix("\n") if after_image else block)
                after_image = False
        return "".join(pieces)


@dataclass(frozen=True, slots=True)
class Source:
    """Provenance of a dialogue's images and text."""

    document_url: str | None = None
    licence: str | None = None
    dump: str | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """How the dialogue was written: writer, model, prompt, decoding, usage.

    Attributes:
        writer: `offline`, `openai` (for `openai-batch` too) or `import`.
        model: model and snapshot as the endpoint named them, None for `offline`.
        prompt_sha256: version of the prompt, the hash of its text.
        temperature: sampling temperature, None for the endpoint's default.
        date: ISO date of the reply, None without an endpoint (so that builds are reproducible).
        prompt_tokens: tokens of the request, None if not reported.
        completion_tokens: tokens of the reply, None if not reported.
    """

    writer: str | None = None
    model: str | None = None
    prompt_sha256: str | None = None
    temperature: float | None = None
    date: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A dialogue: turns, images and provenance. Immutable and valid by construction.

    Raises:
        InvalidDialogue: an invariant is violated.
    """

    id: str
    turns: tuple[Turn, ...]
    images: tuple[DialogueImage, ...] = ()
    domain: str | None = None
    topic: str | None = None
    source: Source = Source()
    generation: Generation = Generation()

    def __post_init__(self) -> None:
        for invariant in INVARIANTS:
            detail = invariant(self)
            if detail is not None:
                name = invariant.__name__.removeprefix("_broken_")
                raise InvalidDialogue(name, f"dialogue {self.id!r}: {detail}")

    @property
    def references(self) -> tuple[str, ...]:
        """The reference answers, one a turn."""
        return tuple(turn.assistant for turn in self.turns)


def _texts(dialogue: Dialogue) -> list[tuple[str, str]]:
    """Every text with a description of its position."""
    texts: list[tuple[str, str]] = []
    for number, turn in enumerate(dialogue.turns, start=1):
        texts += [(f"turn {number}, human", block) for block in turn.human if isinstance(block, str)]
        texts.append((f"turn {number}, assistant", turn.assistant))
    return texts


def _broken_id(dialogue: Dialogue) -> str | None:
    if dialogue.id and find_unsafe_character(dialogue.id) is None and "\n" not in dialogue.id:
        return None
    return "the id must be one non-empty line of valid text"


def _broken_turn_count(dialogue: Dialogue) -> str | None:
    count = len(dialogue.turns)
    return None if 1 <= count <= INT8_MAX else f"has {count} turns, expected 1 to {INT8_MAX}"


def _broken_image_count(dialogue: Dialogue) -> str | None:
    count = len(dialogue.images)
    return None if count <= INT8_MAX else f"has {count} images, expected at most {INT8_MAX}"


def _broken_image_introduced_once_in_order(dialogue: Dialogue) -> str | None:
    shown = [n for turn in dialogue.turns for n in turn.introduces]
    expected = list(range(1, len(dialogue.images) + 1))
    if shown == expected:
        return None
    return f"shows the images {shown}, expected each of {expected} exactly once and in this order"


def _broken_blank_text(dialogue: Dialogue) -> str | None:
    for number, turn in enumerate(dialogue.turns, start=1):
        if not turn.human_text.strip():
            return f"turn {number}: the human says nothing"
        if not turn.assistant.strip():
            return f"turn {number}: the assistant's answer is blank"
    return None


def _broken_merged_blocks(dialogue: Dialogue) -> str | None:
    for number, turn in enumerate(dialogue.turns, start=1):
        for left, right in zip(turn.human, turn.human[1:], strict=False):
            if isinstance(left, str) and isinstance(right, str):
                return f"turn {number}: two adjacent text blocks, join them to one"
        if "" in turn.human:
            return f"turn {number}: an empty text block, remove it"
    return None


def _broken_special_token(dialogue: Dialogue) -> str | None:
    for place, text in _texts(dialogue):
        token = find_special_token(text)
        if token is not None:
            return f"{place}: literal {token!r}; pass texts through plain_text.escape_special_tokens"
    return None


def _broken_unsafe_character(dialogue: Dialogue) -> str | None:
    for place, text in _texts(dialogue):
        character = find_unsafe_character(text)
        if character is not None:
            return f"{place}: character U+{ord(character):04X}; pass texts through plain_text.clean_text"
    return None


INVARIANTS: tuple[Callable[[Dialogue], str | None], ...] = (
    _broken_id,
    _broken_turn_count,
    _broken_image_count,
    _broken_image_introduced_once_in_order,
    _broken_merged_blocks,
    _broken_blank_text,
    _broken_unsafe_character,
    _broken_special_token,
)


def introduce(numbers: Sequence[int], text: str) -> tuple[Block, ...]:
    r"""Blocks of a human turn in the paper's format: `Image_n: <image>` and a line break for each image, then the text.

    Example: `introduce([1, 2], "Compare them.")` -> `("Image_1: ", 1, "\nImage_2: ", 2, "\nCompare them.")`
    """
    blocks: list[Block] = []
    for number in numbers:
        blocks += [f"\nImage_{number}: " if blocks else f"Image_{number}: ", number]
    return (*blocks, f"\n{text}") if blocks else (text,)


def dialogue_id(document: str, image_sha256s: Sequence[str], prompt_sha256: str | None, model: str | None) -> str:
    """Stable id of a dialogue: hash of the arguments (32 hex digits).

    Args:
        document: id of the source document, or its content.
        image_sha256s: digests of the images, in order.
        prompt_sha256: version of the prompt, None if there is none.
        model: name of the model or writer, None if there is none.
    """
    parts = [document, *image_sha256s, prompt_sha256 or "", model or ""]
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def to_json(dialogue: Dialogue) -> dict[str, Any]:
    """The dialogue as a JSON object, image bytes replaced by their sha256."""
    images = [
        {"sha256": p.sha256, "url": p.url, "labels": list(p.labels), "similarity": p.similarity, "phash": p.phash}
        for p in dialogue.images
    ]
    return {
        "id": dialogue.id,
        "turns": [{"human": list(turn.human), "assistant": turn.assistant} for turn in dialogue.turns],
        "images": images,
        "domain": dialogue.domain,
        "topic": dialogue.topic,
        "source": asdict(dialogue.source),
        "generation": asdict(dialogue.generation),
    }


def image_entries(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The images of a `to_json` object; files of version 0.1 call them `pictures`."""
    entries: list[dict[str, Any]] = value["images"] if "images" in value else value["pictures"]
    return entries


def from_json(value: Mapping[str, Any], data_by_sha256: Mapping[str, bytes]) -> Dialogue:
    """The dialogue of a `to_json` object.

    Args:
        value: the JSON object.
        data_by_sha256: the image files.

    Raises:
        KeyError: `data_by_sha256` lacks an image.
        InvalidDialogue: the object violates an invariant.
    """
    return Dialogue(
        id=value["id"],
        turns=tuple(Turn(tuple(turn["human"]), turn["assistant"]) for turn in value["turns"]),
        images=tuple(
            DialogueImage(
                data_by_sha256[p["sha256"]], p["url"], tuple(p["labels"]), p["similarity"], p["phash"], p["sha256"]
            )
            for p in image_entries(value)
        ),
        domain=value["domain"],
        topic=value["topic"],
        source=Source(**value["source"]),
        generation=Generation(**value["generation"]),
    )
