"""Benchmarks of one prompt template, one gold template and exact matching: what lmms-eval's simple task files say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import punctuation
from typing import Any

from eval_tasks.readers.short_answer import ShortAnswerRows
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import load_rows
from eval_tasks.task import Row, Sample

_FIELD = re.compile(r"\{\{\s*(\w+)((?:\[\d{1,3}\]|\.\w+)*)(\.strip\(\))?\s*\}\}")
_STEP = re.compile(r"\[(\d+)\]|\.(\w+)")
_NO_PUNCTUATION = str.maketrans("", "", punctuation)


def find_unknown(template: str) -> str | None:
    """What of a template isn't `{{column}}`, `{{column[0]}}`, `{{column.field}}` or `.strip()`; None if nothing."""
    rest = _FIELD.sub("", template)
    mark = next((mark for mark in ("{{", "{%", "{#") if mark in rest), None)
    return None if mark is None else rest[rest.index(mark) :][:60]


def fill(template: str, row: Row, place: str) -> str:
    """A template, or the name of a column, with the cells of a row.

    Raises:
        ValueError: a column or a part of a cell isn't there.
    """
    if template in row:
        return str(row[template])
    if re.fullmatch(r"[A-Za-z_]\w*", template):  # a column, which nobody means to be asked by its name
        raise ValueError(f"{place}: no column {template!r}; the row has {sorted(map(str, row))}")

    def cell(match: re.Match[str]) -> str:
        value: Any = row
        for part in (match[1], *(step[0] or step[1] for step in _STEP.findall(match[2]))):
            try:
                value = value[int(part)] if isinstance(value, Sequence) and part.isdigit() else value[part]
            except (KeyError, IndexError, TypeError) as error:
                raise ValueError(f"{place}: nothing at {match[0]!r}; the row has {sorted(map(str, row))}") from error
        return str(value).strip() if match[3] else str(value)

    return _FIELD.sub(cell, template)


class TemplateRows(ShortAnswerRows):
    """Rows that are asked with a template.

    Args:
        hub: the data set.
        text: template of the prompt, or a column.
        target: template of the gold answer, or a column.
        visual: column of the image or the list of images; empty for none.
        ignore_case: compare without case.
        ignore_punctuation: compare without punctuation.
        until: a reply ends before the first of these.
    """

    def __init__(
        self,
        hub: HubRows,
        text: str,
        target: str,
        visual: str = "",
        ignore_case: bool = False,
        ignore_punctuation: bool = False,
        until: Sequence[str] = (),
    ) -> None:
        def shape(said: str) -> str:
            said = said.lower() if ignore_case else said
            return said.translate(_NO_PUNCTUATION) if ignore_punctuation else said

        def points(reply: str, golds: Sequence[str]) -> float:
            ends = [place for stop in until if (place := reply.find(stop)) >= 0]
            return float(shape(reply[: min(ends, default=len(reply))].strip()) == shape(golds[0].strip()))

        columns = (("image", visual),) if visual and visual != "image" else ()
        hub = HubRows(hub.name, hub.split, hub.config, hub.revision, columns)
        super().__init__(hub, "", points, "exact_match", "", rules=("lmms-eval",), load=self._load)
        self.text, self.target, self.visual = text, target, visual

    def _load(self, data: str | None) -> Any:  # noqa: ANN401  (an iterator of rows, whose answers are templates)
        rows = load_rows(data, self.hub, None, needs_image=lambda row: bool(self.visual))
        return ({**row, "answer": fill(self.target, row, "row")} for row in rows)

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row. Raises: see `fill`."""
        place, row = f"row {number}", self.hub.renamed(row)
        named: Mapping[str, Any] = row if self.visual in ("", "image") else {**row, self.visual: row.get("image")}
        asked = {**row, "question": fill(self.text, named, place)}
        if has_gold:
            asked["answer"] = [fill(self.target, named, place)]
        return super().to_sample(asked, rules, number, has_gold)
