"""Text when it enters: what comes from the web or from a model, made into plain text.

Nothing that a chat template, a tokenizer or a parser of ours reads as a mark survives: image tokens, turn tokens,
`Image_n:` labels, `<Human n>:` markers, control characters. Words are kept and marks stay readable: `<image>` becomes
`‹image›`.
"""

from __future__ import annotations

import re
import unicodedata

# Tokens that templates of the supported families (and their neighbours) give a meaning to.
_WORDS = (
    r"image|images|img|video|audio|imagehere|image[ _]?\d+|image_(?:pad|placeholder|soft_token)|video_pad"
    r"|img_[a-z]+|im_[a-z]+|vision_[a-z]+|row_\d+_col_\d+|global-img|fake_token_around_image"
    r"|s|bos|eos|pad|unk|mask|cls|sep|start_of_turn|end_of_turn|start_of_image|end_of_image"
    r"|end_of_utterance|endoftext|think|tool_call|tool_response|tools"
    r"|(?:human|assistant|user|system)(?:[ ]*\d+)?"
)
_SPECIAL = re.compile(
    rf"<[ ]*/?[ ]*(?:{_WORDS})[ ]*/?[ ]*>"  # <image>, </s>, < Human 3 >
    r"|<[|｜][^<>\n]{0,64}[|｜]>"  # <|im_start|>, <｜begin▁of▁sentence｜>
    r"|<<\/?SYS>>|\[\/?INST\]|\[IMG(?:_BREAK|_END)?\]",
    re.IGNORECASE,
)
_LABEL = re.compile(r"\b(image)_(\d+)(?=\s*:)", re.IGNORECASE)  # `Image_2:` names an image that may not exist

# Controls but line break and tab, lone surrogates, bidi overrides: Unicode's categories Cc and Cs are exactly these.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_MAX_COMBINING = 4  # marks in a row that real scripts use; more is noise that hides text
_MAYBE_FLOOD = re.compile("[\u0300-\U0010ffff]{5}")  # no mark stands below U+0300: most texts need no closer look
_SPACES = re.compile(r"[^\S\n]{2,}|[^\S\n ]")  # what is one plain space already stays untouched
_EMPTY_LINES = re.compile(r" ?\n ?(?:\n ?)+")
_ZERO_WIDTH = dict.fromkeys(map(ord, "\u200b\u200c\u2060\ufeff\u00ad"))


def find_special_token(text: str) -> str | None:
    """The first literal special token in a text, None if there is none."""
    match = _SPECIAL.search(text) if _may_hold_token(text) else None
    return match.group() if match else None


def _may_hold_token(text: str) -> bool:
    """False for most texts, at a fraction of the pattern's time: every token begins with one of these."""
    return "<" in text or "[" in text


def escape_special_tokens(text: str) -> str:
    """The text with special tokens made harmless and still readable; idempotent.

    Example: `"<image> and Image_2: x"` -> `"‹image› and Image 2: x"`
    """
    brackets = str.maketrans({"<": "‹", ">": "›", "[": "(", "]": ")", "|": "¦", "｜": "¦"})
    while _may_hold_token(text) and _SPECIAL.search(text):  # taking one token out can close another: "<<image>image>"
        text = _SPECIAL.sub(lambda match: match.group().translate(brackets), text)
    return _LABEL.sub(r"\1 \2", text) if "_" in text else text


def find_unsafe_character(text: str) -> str | None:
    """The first character that must not reach a row (control, lone surrogate, bidi override), None if there is none."""
    found = _UNSAFE.search(text)
    return found.group() if found else None


def _without_floods(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MAX_COMBINING:
            kept.append(character)
    return "".join(kept)


def drop_unsafe_characters(text: str) -> str:
    """The text without characters that must not reach a row; line breaks are of one kind, all else stays."""
    return _UNSAFE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def clean_text(text: str) -> str:
    """Plain text: NFC, one kind of line break, no control, zero-width or bidi characters, no floods of marks.

    Special tokens are escaped too, so the result is fit for a `Dialogue`. Idempotent.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = unicodedata.normalize("NFC", text.translate(_ZERO_WIDTH))
    text = _UNSAFE.sub("", text)
    text = escape_special_tokens(_without_floods(text) if _MAYBE_FLOOD.search(text) else text)
    text = _SPACES.sub(" ", text)
    return (_EMPTY_LINES.sub("\n\n", text) if "\n" in text else text).strip()
