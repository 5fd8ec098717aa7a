"""Drift of a judge: the same replies judged again in every check, and a control chart of the shifts.

A check has a ledger of its own, so that the judge is asked, not the store. The first check is the baseline.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from mmcr_bench.judge.judge import open_judge, show_cost
from mmcr_bench.trust.runs import Run
from mmcr_dataset.publish.markdown_table import to_table
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.stage.stages import read_jsonl

log = logging.getLogger(__name__)
LIMIT_SE = 3.0  # Shewhart's limits, in standard errors of the mean shift
HISTORY_NAME = "history.jsonl"
_MIN_PAIRS = 5
_BAR = 21
CHART_COLUMNS = ("check", "at (UTC)", "judged", "mean", "shift", "limit", "chart (-1 to +1)")


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        at: Unix time in seconds.
        judge: name of the judge.
        anchors_sha256: hash of the judged dialogues and replies.
        overall: overall score by dialogue; dialogues without a verdict are missing.
        num_asked: dialogues asked.
    """

    at: float
    judge: str
    anchors_sha256: str
    overall: Mapping[str, float]
    num_asked: int


def choose_anchors(run: Run, limit: int) -> list[tuple[Dialogue, tuple[str, ...]]]:
    """Dialogues of a run with their replies, drawn by a hash of their ids.

    Raises:
        ValueError: the run has too few.
    """
    chosen = sorted(zip(run.dialogues, run.replies, strict=True), key=lambda one: _place(one[0].id))[:limit]
    if len(chosen) < _MIN_PAIRS:
        raise ValueError(
            f"{run.name}: {len(chosen)} answered dialogues (--limit {limit}), expected {_MIN_PAIRS} or more"
        )
    return chosen


def has_unfinished(folder: Path) -> bool:
    """True if a check was begun and is not in the history."""
    return _ledger_of(folder, len(read_history(folder)) + 1).exists()


def _ledger_of(folder: Path, number: int) -> Path:
    return folder / f"ledger_{number}.sqlite3"


def check_drift(folder: Path, anchors: Run, limit: int, spec: str, *, says_cost: bool = True) -> list[Check]:
    """Judge the anchors once more, append the check to the folder's history, and return the whole history.

    Args:
        folder: folder of the history.
        anchors: the replies.
        limit: number of dialogues.
        spec: the judge's spec.
        says_cost: log the cost before.

    Raises:
        ValueError: the history is of other anchors or another judge, or the judge gave too few verdicts.
    """
    chosen = choose_anchors(anchors, limit)
    sha256 = hashlib.sha256(
        json.dumps([[d.id, d.references, given] for d, given in chosen]).encode("utf-8", "surrogatepass")
    ).hexdigest()
    history = read_history(folder)
    if history and history[0].anchors_sha256 != sha256:
        raise ValueError(f"{folder}: its history is of other anchors (another run, or --limit); name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    ledger = _ledger_of(folder, len(history) + 1)  # a check that was cut short goes on with its own
    judge = open_judge(spec, ledger)
    if "overall" not in judge.names:
        raise ValueError(f"judge {judge.name} gives no overall score; name an api: judge")
    if history and history[0].judge != judge.name:
        raise ValueError(f"{folder}: its history is of judge {history[0].judge}, not {judge.name}; name another folder")
    dialogues, replies = [dialogue for dialogue, _ in chosen], [given for _, given in chosen]
    if says_cost:
        log.info("%s", show_cost(judge, dialogues, replies))
    found = judge.score(dialogues, replies)
    overall = {
        dialogue.id: one.scores["overall"]
        for dialogue, one in zip(dialogues, found, strict=True)
        if one.scores is not None
    }
    if len(overall) < _MIN_PAIRS:
        raise ValueError(
            f"judge {judge.name} gave {len(overall)} verdicts on {len(chosen)} anchors, at least {_MIN_PAIRS} are "
            "needed; nothing is stored, run it again"
        )
    check = Check(time.time(), judge.name, sha256, overall, len(chosen))
    with (folder / HISTORY_NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps({name: getattr(check, name) for name in Check.__slots__}) + "\n")
    return [*history, check]


def read_history(folder: Path) -> list[Check]:
    """The checks of a folder, oldest first; empty for a new one.

    Raises:
        ValueError: a line can't be read.
    """
    path = folder / HISTORY_NAME
    if not path.is_file():
        return []
    try:
        return [Check(**value) for value in read_jsonl(path, "restore the file or name another folder")]
    except TypeError as error:
        raise ValueError(f"{path}: not a history of checks ({error}); name another folder") from error


@dataclass(frozen=True, slots=True)
class Shift:
    """A check against the baseline.

    Attributes:
        mean: mean shift of the overall score over the dialogues that both have.
        limit: control limit, 3 standard errors.
        num_pairs: dialogues that both have.
    """

    mean: float
    limit: float
    num_pairs: int

    @property
    def is_out(self) -> bool:
        """Whether the shift is beyond its limit."""
        return abs(self.mean) > self.limit


def measure_shift(baseline: Check, check: Check) -> Shift | None:
    """The shift of a check; None where too few dialogues have a verdict in both."""
    shared = baseline.overall.keys() & check.overall.keys()
    differences = [check.overall[id_] - baseline.overall[id_] for id_ in sorted(shared)]
    if len(differences) < _MIN_PAIRS:
        return None
    return Shift(fmean(differences), LIMIT_SE * stdev(differences) / len(differences) ** 0.5, len(differences))


def show_chart(history: list[Check]) -> str:
    """The control chart as a table, with its title."""
    table = to_table(CHART_COLUMNS, chart_rows(history))
    return f"Drift of {history[0].judge}, overall of 10, {history[0].num_asked} anchors\n\n{table}"


def chart_rows(history: list[Check]) -> list[list[str]]:
    """A row a check; in the chart `*` is the shift, `I` the baseline, `[` and `]` are the limits."""
    rows = []
    for number, check in enumerate(history, start=1):
        at = time.strftime("%Y-%m-%d %H:%M", time.gmtime(check.at))
        shift = measure_shift(history[0], check)
        mean = f"{fmean(check.overall.values()):.2f}"
        read = f"{len(check.overall)} of {check.num_asked}"
        if number == 1 or shift is None:
            rows.append([str(number), at, read, mean, "-", "-", "baseline" if number == 1 else "too few verdicts"])
            continue
        cells = [f"{shift.mean:+.2f}", f"±{shift.limit:.2f}", f"{_bar(shift)} {'OUT' if shift.is_out else 'in'}"]
        rows.append([str(number), at, read, mean, *cells])
    return rows


def _bar(shift: Shift) -> str:
    def column(value: float) -> int:
        return round((min(1.0, max(-1.0, value)) + 1) / 2 * (_BAR - 1))

    cells = ["."] * _BAR
    for value, sign in ((-shift.limit, "["), (shift.limit, "]"), (0.0, "I"), (shift.mean, "*")):
        cells[column(value)] = sign
    return "".join(cells)


def _place(name: str) -> bytes:
    return hashlib.sha256(f"anchor\x1f{name}".encode()).digest()
