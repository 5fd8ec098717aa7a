"""Markdown tables for cards, reports and the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def to_table(header: Sequence[object], rows: Iterable[Sequence[object]], right: Collection[int] = ()) -> str:
    """Format a Markdown table; `|` inside a cell is escaped.

    Args:
        header: names of the columns.
        rows: cells of each row, one for each column.
        right: indices of the right-aligned columns.
    """
    rule = ["---:" if number in right else "---" for number in range(len(header))]
    lines = [[str(cell).replace("|", "\\|") for cell in line] for line in (header, rule, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
