"""Text at the door: what comes from the web or from a model, made into plain text.

Nothing that a chat template, a tokenizer or a parser of ours reads as a mark survives: picture tokens, turn tokens,
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
_LABEL = re.compile(r"\b(image)_(\d+)(?=\s*:)", re.IGNORECASE)  # `Image_2:` names a picture that may not exist

_KEPT_CONTROLS = {"\n", "\t"}
_MAX_COMBINING = 4  # marks in a row that real scripts use; more is noise that hides text
_ZERO_WIDTH = dict.fromkeys(map(ord, "\u200b\u200c\u2060\ufeff\u00ad"))


def find_special_token(text: str) -> str | None:
    """The first literal special token in a text, None if there is none."""
    match = _SPECIAL.search(text)
    return match.group() if match else None


def escape_special_tokens(text: str) -> str:
    """The text with special tokens made harmless and still readable; idempotent.

    Example: `"<image> and Image_2: x"` -> `"‹image› and Image 2: x"`
    """
    brackets = str.maketrans({"<": "‹", ">": "›", "[": "(", "]": ")", "|": "¦", "｜": "¦"})
    while _SPECIAL.search(text):  # taking one token out can close another: "<<image>image>"
        text = _SPECIAL.sub(lambda match: match.group().translate(brackets), text)
    return _LABEL.sub(r"\1 \2", text)


def find_unsafe_character(text: str) -> str | None:
    """The first character that must not reach a row (control, lone surrogate, bidi override), None if there is none."""
    return next((character for character in text if _is_unsafe(character)), None)


def _is_unsafe(character: str) -> bool:
    if character in _KEPT_CONTROLS:
        return False
    if "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069":
        return True
    return unicodedata.category(character) in ("Cc", "Cs")


def drop_unsafe_characters(text: str) -> str:
    """The text without characters that must not reach a row; line breaks are of one kind, all else stays."""
    return "".join(c for c in text.replace("\r\n", "\n").replace("\r", "\n") if not _is_unsafe(c))


def clean_text(text: str) -> str:
    """Plain text: NFC, one kind of line break, no control, zero-width or bidi characters, no floods of marks.

    Special tokens are escaped too, so the result is fit for a `Dialogue`. Idempotent.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = unicodedata.normalize("NFC", text.translate(_ZERO_WIDTH))
    kept: list[str] = []
    marks = 0
    for character in text:
        if _is_unsafe(character):
            continue
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MAX_COMBINING:
            kept.append(character)
    text = escape_special_tokens("".join(kept))
    text = re.sub(r"[^\S\n]+", " ", text)
    return re.sub(r" ?\n ?(?:\n ?)+", "\n\n", text).strip()
