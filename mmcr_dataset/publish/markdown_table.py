"""Markdown tables for cards, reports and the terminal; foreign text in Markdown and YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence

_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|~$])")  # characters that Markdown reads
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_MAX_CHARACTERS = 200


def to_table(header: Sequence[object], rows: Iterable[Sequence[object]], right: Collection[int] = ()) -> str:
    """Format a Markdown table; `|` and line breaks inside a cell are escaped.

    Args:
        header: names of the columns.
        rows: cells of each row, one for each column.
        right: indices of the right-aligned columns.
    """
    rule = ["---:" if number in right else "---" for number in range(len(header))]
    lines = [[one_line(str(cell)).replace("|", "\\|") for cell in line] for line in (header, rule, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def one_line(text: str) -> str:
    """A text without line breaks and other control characters."""
    return _CONTROL.sub(" ", text)


def escape_markdown(text: str) -> str:
    """Foreign text as plain text of a Markdown line: one line of at most 200 characters, no HTML, no mark, no link."""
    text = " ".join(one_line(text).split())
    text = text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]} ..."
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"^([-=]|\d+[.)])(?=\s|\1|\Z)", r"\\\1", _MARKS.sub(r"\\\1", text))  # no list, rule or heading
    return re.sub(r"(?<=[A-Za-z]):(?=//)|(?<=www)\.", lambda mark: f"&#{ord(mark[0])};", text)  # no automatic link


def code_span(text: str) -> str:
    """Foreign text as a code span; a backtick in it becomes an apostrophe."""
    text = " ".join(one_line(text).split()).replace("`", "'")
    return f"`{text[:_MAX_CHARACTERS] or ' '}`"


def yaml_text(text: str) -> str:
    """Foreign text as a YAML value of one line, quoted unless it is a plain name."""
    is_plain = re.fullmatch(r"[a-z]+(?:-[a-z0-9]+)+|[a-z]{6,64}", text)  # no word that YAML reads as something else
    return text if is_plain else json.dumps(one_line(text)[:_MAX_CHARACTERS])
