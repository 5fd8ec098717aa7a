"""Compute everything in a set of the controlled world again, and say what differs."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcr_bench.exact.check_balance import find_blind_guesses, find_imbalance
from mmcr_bench.exact.check_dialogue import Words, find_dialogue_faults
from mmcr_bench.exact.check_tables import show_tables
from mmcr_bench.exact.exact_set import PROGRAMS_NAME, SETTINGS_NAME, read_exact, to_json
from mmcr_bench.exact.set_card import read_programs_sha256
from mmcr_bench.exact.views import add_blind
from mmcr_dataset.publish.croissant import file_sha256

_GROUPS_A_TASK = 20
_MAX_SHOWN = 20


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        folder: the set.
        num_dialogues: linked dialogues, or those of the one telling.
        num_rows: rows of all roles.
        num_questions: questions of the linked dialogues.
        faults: one line each.
        tables: numbers by operator, distance, image age and answer.
    """

    folder: Path
    num_dialogues: int
    num_rows: int
    num_questions: int
    faults: tuple[str, ...]
    tables: str

    def show(self) -> str:
        """The report as text."""
        shown = [f"fault  {fault}" for fault in self.faults[:_MAX_SHOWN]]
        if len(self.faults) > _MAX_SHOWN:
            shown.append(f"... and {len(self.faults) - _MAX_SHOWN} more")
        counts = f"{self.num_dialogues} dialogues, {self.num_rows} rows, {self.num_questions} questions"
        return "\n".join([self.tables, "", *shown, f"{self.folder}: {counts}; {len(self.faults)} faults"])


def check_exact(folder: Path, find_faults: Callable[..., list[str]] = find_dialogue_faults) -> CheckReport:
    """Check a set.

    Args:
        folder: written by `python -m mmcr_bench exact build`.
        find_faults: checks the rows of one dialogue (`check_dialogue.find_dialogue_faults`).

    Raises:
        ValueError: the folder is no such set.
    """
    groups: defaultdict[str, list[tuple[dict[str, Any], Words]]] = defaultdict(list)
    for item in read_exact(folder):
        groups[item.group].append((to_json(item), Words.of(item.dialogue)))
    settings: dict[str, Any] = json.loads((folder / SETTINGS_NAME).read_text("utf-8"))
    faults = list(_find_stale_files(folder))
    faults += _run(list(groups.values()), settings, find_faults)
    lines = [line for rows in groups.values() for line, _ in rows]
    if settings["guesses"] == "all":
        faults += _find_wrong_blind(lines)
    telling = "linked" if settings["telling"] == "all" else settings["telling"]
    asked = [line for line in lines if line["role"] == ("alone" if telling == "single" else telling)]
    faults += [*find_imbalance(asked), *find_blind_guesses(asked)]
    return CheckReport(
        folder=folder,
        num_dialogues=len(groups),
        num_rows=len(lines),
        num_questions=sum(len(line["turns"]) for line in asked),
        faults=tuple(faults),
        tables=show_tables(lines, asked),
    )


def _find_stale_files(folder: Path) -> Iterator[str]:
    stated, found = read_programs_sha256(folder), file_sha256(folder / PROGRAMS_NAME)
    if stated != found:
        yield f"{PROGRAMS_NAME}: sha256 {found}, the card states {stated}"


def _run(
    groups: Sequence[Sequence[tuple[dict[str, Any], Words]]],
    settings: Mapping[str, Any],
    find_faults: Callable[..., list[str]],
) -> list[str]:
    """The faults of all dialogues, on all cores."""
    if len(groups) <= _GROUPS_A_TASK:
        return [fault for rows in groups for fault in find_faults(rows, settings)]
    with ProcessPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        found = pool.map(find_faults, groups, [settings] * len(groups), chunksize=_GROUPS_A_TASK)
        return [fault for faults in found for fault in faults]


def _find_wrong_blind(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    stored = [asked["guesses"].get("blind") for line in lines for asked in line["turns"]]
    add_blind(lines)
    again = [asked["guesses"].get("blind") for line in lines for asked in line["turns"]]
    wrong = sum(one != other for one, other in zip(stored, again, strict=True))
    if wrong:
        yield f"guess blind: {wrong} of {len(stored)} stored ones differ from the tables of the set"
