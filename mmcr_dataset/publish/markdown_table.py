"""Tables in Markdown: of cards, reports and terminals."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def to_table(header: Sequence[object], rows: Iterable[Sequence[object]], right: Collection[int] = ()) -> str:
    """A Markdown table; bars inside a cell are escaped.

    Args:
        header: the names of the columns.
        rows: a cell for each column.
        right: numbers (from 0) of the columns that are aligned to the right.
    """
    rule = ["---:" if number in right else "---" for number in range(len(header))]
    lines = [[str(cell).replace("|", "\\|") for cell in line] for line in (header, rule, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
