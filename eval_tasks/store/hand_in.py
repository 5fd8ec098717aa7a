"""The file to hand in for a split without gold answers: the benchmark's own columns and the model's replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval_tasks.task import Scored


def write_hand_in(folder: Path, task: str, scored: Sequence[Scored]) -> Path:
    """Write `hand_in/TASK.xlsx` in the form that VLMEvalKit writes; a failed sample has an empty prediction.

    Args:
        folder: folder of the run.
        task: name of the task.
        scored: its samples.

    Raises:
        ValueError: openpyxl is not installed.
    """
    try:
        import openpyxl
    except ModuleNotFoundError as error:
        raise ValueError(f"{folder}: writing the file to hand in needs openpyxl; pip install openpyxl") from error
    rows: list[Mapping[str, Any]] = [
        {**one.sample.target.get("row", {"index": one.sample.dialogue.id}), "prediction": (*one.replies, "")[0]}
        for one in scored
    ]
    header = list(dict.fromkeys(name for row in rows for name in row if name != "prediction"))
    path = folder / "hand_in" / f"{task}.xlsx"
    path.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet(task)
    sheet.append([*header, "prediction"])
    for row in rows:
        sheet.append([_to_cell(sheet, row.get(name)) for name in (*header, "prediction")])
    book.save(path)
    return path


def _to_cell(sheet: Any, value: Any) -> Any:  # noqa: ANN401  (openpyxl is not typed)
    """A cell without the control characters that XLSX can't hold; a text that looks like a formula stays a text."""
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE, WriteOnlyCell

    if not isinstance(value, str):
        return value
    cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", value)[:32767])
    cell.data_type = "s"
    return cell
