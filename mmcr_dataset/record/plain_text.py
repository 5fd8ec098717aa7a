"""Sanitize text from the web or from a model.

Escapes everything that a chat template, a tokenizer or our parsers would interpret: image tokens, special tokens,
`Image_n:` labels, `<Human n>:` markers, control characters. Escaped tokens stay readable: `<image>` becomes `‹image›`.
"""

from __future__ import annotations

import re
import unicodedata

# Special tokens in chat templates of the supported model families and of related ones.
_WORDS = (
    r"image|images|img|video|audio|imagehere|image[ _]?\d+|image_(?:pad|placeholder|soft_token)|video_pad"
    r"|img_[a-z]+|im_[a-z]+|vision_[a-z]+|row_\d+_col_\d+|global-img|fake_token_around_image"
    r"|s|bos|eos|pad|unk|mask|cls|sep|start_of_turn|end_of_turn|start_of_image|end_of_image"
    r"|end_of_utterance|endoftext|think|tool_call|tool_response|tools"
    r"|(?:human|assistant|user|system)(?:[ ]*\d+)?"
)
_SPECIAL = re.compile(
    rf"<[ ]*+(?:/[ ]*+)?(?:{_WORDS})[ ]*+(?:/[ ]*+)?>"  # <image>, </s>, < Human 3 >
    r"|<[|｜][^<>\n]{0,64}[|｜]>"  # <|im_start|>, <｜begin▁of▁sentence｜>
    r"|<<\/?SYS>>|\[\/?INST\]|\[IMG(?:_BREAK|_END)?\]",
    re.IGNORECASE,
)
_LABEL = re.compile(r"\b(image)_(\d+)(?=\s*:)", re.IGNORECASE)  # `Image_2:` names an image that may not exist

# Control characters except line break and tab (category Cc), lone surrogates (Cs), bidi overrides.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_MAX_COMBINING = 4  # consecutive combining marks in real scripts; more of them hide text (zalgo)
_MAYBE_FLOOD = re.compile("[\u0300-\U0010ffff]{5}")  # no combining mark is below U+0300: skips most texts
_WORD_MAX = 64  # characters of a word that is not cut in the middle
_SPACES = re.compile(r"[^\S\n]{2,}|[^\S\n ]")  # a single plain space doesn't match
_EMPTY_LINES = re.compile(r" ?\n ?(?:\n ?)+")
_ZERO_WIDTH = dict.fromkeys(map(ord, "\u200b\u200c\u2060\ufeff\u00ad"))


def find_special_token(text: str) -> str | None:
    """The first literal special token in a text, None if there is none."""
    match = _SPECIAL.search(text) if _may_hold_token(text) else None
    return match.group() if match else None


def _may_hold_token(text: str) -> bool:
    """Fast pre-check: every special token contains one of these characters."""
    return "<" in text or "[" in text


def escape_special_tokens(text: str) -> str:
    """Escape special tokens so that they stay readable; idempotent.

    Example: `"<image> and Image_2: x"` -> `"‹image› and Image 2: x"`
    """
    brackets = str.maketrans({"<": "‹", ">": "›", "[": "(", "]": ")", "|": "¦", "｜": "¦"})
    while _may_hold_token(text) and _SPECIAL.search(text):  # escaping one can complete another: "<<image>image>"
        text = _SPECIAL.sub(lambda match: match.group().translate(brackets), text)
    return _LABEL.sub(r"\1 \2", text) if "_" in text else text


def find_unsafe_character(text: str) -> str | None:
    """The first unsafe character (control, lone surrogate, bidi override), None if there is none."""
    found = _UNSAFE.search(text)
    return found.group() if found else None


def _limit_combining(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MAX_COMBINING:
            kept.append(character)
    return "".join(kept)


def drop_unsafe_characters(text: str) -> str:
    """Remove unsafe characters and normalize line breaks; nothing else changes."""
    return _UNSAFE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def cut_text(text: str, max_characters: int) -> str:
    """The beginning of a text: up to a space, or to any character in scripts without spaces (but not within one).

    Args:
        text: the text.
        max_characters: length of the result at most.
    """
    if len(text) <= max_characters:
        return text
    head = text[:max_characters]
    at = max(head.rfind(" "), head.rfind("\n"))
    if at >= max_characters - _WORD_MAX and at > 0:
        return head[:at].rstrip()
    end = max_characters
    while end > 0 and (unicodedata.category(text[end]).startswith("M") or "\u200d" in text[end - 1 : end + 1]):
        end -= 1
    return text[:end]


def clean_text(text: str) -> str:
    """Sanitize a text for a `Dialogue`; idempotent.

    Normalizes to NFC and one kind of line break; removes control, zero-width and bidi characters and excess combining
    marks; escapes special tokens; collapses white space.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _UNSAFE.sub("", unicodedata.normalize("NFC", text.translate(_ZERO_WIDTH)))
    text = escape_special_tokens(_limit_combining(text) if _MAYBE_FLOOD.search(text) else text)
    text = _SPACES.sub(" ", text)
    return (_EMPTY_LINES.sub("\n\n", text) if "\n" in text else text).strip()


def figure_text(text: str) -> str:
    """Foreign text for a figure: matplotlib reads what stands between dollar signs as a formula."""
    return drop_unsafe_characters(text).replace("$", r"\$")[:200]
