"""What is printed: foreign text in it can't move the cursor, colour, retitle the terminal or turn the line around."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TextIO

# C0 and C1 controls without tab and line feed; marks that turn the direction of text.
_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """The text with every command to a terminal shown as its number: of ESC, a backslash and x1b."""
    return _COMMANDS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class PlainOutput:
    """A text stream that shows commands to a terminal instead of sending them.

    Args:
        stream: where the text goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text."""
        self._stream.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        """False, so that no library colours what it prints."""
        return False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (everything else is the stream's own)
        return getattr(self._stream, name)
