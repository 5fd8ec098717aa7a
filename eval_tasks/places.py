"""Where each task's data is: the `--data` flags by task, and the tables of the general tasks by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from eval_tasks.registry import GENERAL

_NAMED = re.compile(r"(\w+(?::[\w.-]+)?)=(.*)", re.DOTALL)


def places_of(names: Iterable[str], values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(task, place of its data) for the tasks given in --data."""
    return tuple((name, place) for name, place in (_data_of(name, values) for name in names) if place)


def _data_of(task: str, values: Sequence[str]) -> tuple[str, str]:
    """(task, place of its data): `TASK=PLACE` if given, else the task's entry in the common folder, or the folder."""
    found = [_NAMED.fullmatch(value) for value in values]
    named = {one[1]: one[2] for one in found if one}
    plain = [value for value, one in zip(values, found, strict=True) if one is None]
    if len(plain) > 1:
        raise ValueError(f"--data has {len(plain)} places without a task; write them as TASK=PLACE")
    if task in named or not plain:
        return task, named.get(task, "")
    inside = Path(plain[0]) / task
    return task, str(inside if inside.exists() else plain[0])


def own_tables(names: Sequence[str], values: Sequence[str]) -> tuple[list[str], list[str]]:
    """The tasks and the values of --data with the general tasks named by their tables: `choice:BLINK`.

    Raises:
        ValueError: a general task has no table, or two of the same name.
    """
    from eval_tasks.rows.own_table import table_name

    tasks: list[str] = []
    places = list(values)
    for name in names:
        if name not in GENERAL:
            tasks.append(name)
            continue
        found = [one[2] for one in map(_NAMED.fullmatch, values) if one and one[1] == name]
        if not found and (place := _data_of(name, values)[1]):
            found = [place]
        if not found:
            raise ValueError(
                f"--tasks {name} asks a table of yours: pass --data {name}=FILE, FOLDER or ORG/NAME?split=test"
            )
        of_table = {f"{name}:{table_name(place)}": place for place in found}
        if len(of_table) < len(found):
            raise ValueError(
                f"--data: two tables of {name} have the same name ({', '.join(found)}); rename one of them"
            )
        tasks += of_table
        places += [f"{task}={place}" for task, place in of_table.items()]
    return tasks, places
