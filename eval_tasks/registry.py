"""The task registry: each module in tasks/ is a task, named like its file and imported lazily.

`--tasks_from PATH` adds external modules: a file, or a folder of them.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from eval_tasks.task import Task

OWN_TASKS = Path(__file__).parent / "tasks"
_PUBLIC = ("ai2d", "hallusion_bench", "mathvista", "mmbench", "mmmu", "mmstar", "mmvet", "ocrbench", "scienceqa", "mme")
GROUPS: dict[str, tuple[str, ...]] = {
    "public": _PUBLIC,  # paper, table 3
    "paper": ("mmcr_bench", "visdial", *_PUBLIC),
    "multi_turn": ("convbench", "mm_mt_bench", "mmcr_bench", "mmdu", "multiverse", "visdial", "vischainbench"),
    "multi_image": (
        *(
            "blink",
            "mantis_eval",
            "mirb",
            "mmiu",
            "mmmu",
            "mmmu_pro",
            "mmt_bench",
            "mucr",
            "muirbench",
            "qbench2",
            "remi",
        ),
        *("m4u", "memlens", "mm_niah", "mmlongbench", "nlvr2", "prismm_bench", "visual_haystacks", "viverbench"),
    ),
    "documents": ("chartqa", "docvqa", "infovqa", "ocrbench", "seedbench_2_plus", "textvqa"),
    "hallucination": ("hallusion_bench", "pope"),
    "reasoning": (
        *(
            "logicvista",
            "m4u",
            "mathverse",
            "mathvision",
            "mathvista",
            "mdk12",
            "mmmu_pro",
            "omnibench",
            "prismm_bench",
        ),
        *(
            "r1_onevision_bench",
            "reason_rft",
            "reasonmap",
            "reasonmap_plus",
            "topviewrs",
            "viverbench",
            "visual_puzzles",
        ),
    ),
}

FILTERS: dict[str, tuple[str, ...]] = {  # of --list
    "several_images": (
        *GROUPS["multi_image"],
        *("dialogues", "mmcr_bench", "mmcr_exact", "mmdu", "reason_rft", "vischainbench"),
    ),
    "several_turns": (*GROUPS["multi_turn"], "dialogues", "mmcr_exact"),
    "judged": (
        "convbench",
        "dialogues",
        "memlens",
        "mm_mt_bench",
        "mmcr_bench",
        "mmdu",
        "multiverse",
        "mmvet",
        "visdial",
    ),  # the bench's judge has an offline form
}
GENERAL = ("choice", "yes_no", "open_answer")  # tasks of any table, named `choice:TABLE` in results


def find_tasks(outside: Sequence[str | Path] = ()) -> dict[str, Path]:
    """Name -> file of every task, without importing any.

    Raises:
        ValueError: a path of `outside` doesn't exist, or two files have the same name.
    """
    found = {path.stem: path for path in sorted(OWN_TASKS.glob("[!_]*.py"))}
    for place in map(Path, outside):
        if not place.exists():
            raise ValueError(f"--tasks_from {place}: no such file or folder")
        for path in [place] if place.is_file() else sorted(place.glob("[!_]*.py")):
            if path.stem in found:
                raise ValueError(f"task {path.stem!r} is in {path} and in {found[path.stem]}; rename one of the files")
            found[path.stem] = path
    return found


def show_tasks(found: Mapping[str, Path], only: str | None = None) -> str:
    """A line for every task (images, turns, judge, rows, metric, what it is) and every group, none of them imported.

    Args:
        found: name -> file.
        only: comma-separated names of tasks, groups or filters; None for all.
    """
    chosen = list(found)
    if only is not None:
        words = [",".join(FILTERS.get(word.strip(), (word.strip(),))) for word in only.split(",")]
        chosen = choose_tasks(",".join(words), list(found))
    rows: list[tuple[str, ...]] = [("task", "images", "turns", "judge", "rows", "metric", "")]
    for name in chosen:
        kinds = [("several" if name in FILTERS[kind] else "one") for kind in ("several_images", "several_turns")]
        kinds = ["any", "one"] if name in GENERAL else kinds
        judge = "needed" if name in FILTERS["judged"] else "no"
        about = [_fact(found[name], fact)[:width] for fact, width in (("Rows", 24), ("Metric", 44))]
        rows.append((name, *kinds, judge, *about, first_line(found[name])))
    lines = ["{:20}{:9}{:9}{:8}{:26}{:46}{}".format(*row).rstrip() for row in rows]
    groups = [] if only else [f"{name:20}group: {', '.join(members)}" for name, members in GROUPS.items()]
    return "\n".join(lines + groups + ([] if only else [f"filters (--list --tasks NAME): {', '.join(FILTERS)}"]))


def _fact(path: Path, name: str) -> str:
    """What the module docstring says after `NAME:`, up to the next point or line; empty if nothing."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    match = re.search(rf"\b{name}: (.+?)(?: · |\n|$)", text)
    return match[1] if match else ""


def choose_tasks(names: str, known: Sequence[str]) -> list[str]:
    """The tasks of a comma-separated list, groups expanded.

    Raises:
        ValueError: a name is unknown (with suggestions), or the list is empty.
    """
    chosen: list[str] = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        if name not in GROUPS and name not in known:
            near = difflib.get_close_matches(name, [*known, *GROUPS], n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else "see python -m eval_tasks --list"
            raise ValueError(f"no task {name!r}; {hint}")
        chosen += [member for member in GROUPS.get(name, (name,)) if member not in chosen]
    if not chosen:
        raise ValueError("no task given; pass --tasks NAME[,NAME], see python -m eval_tasks --list")
    return chosen


def load_task(path: Path) -> Task:
    """The `TASK` of a file.

    Raises:
        ValueError: the file holds no task, or one of another name.
    """
    module = _import_file(path)
    task: Task | None = getattr(module, "TASK", None)
    if task is None:
        raise ValueError(f"{path} holds no TASK; see CONTRIBUTING.md on adding a task")
    if task.name != path.stem:
        raise ValueError(f"{path} holds the task {task.name!r}; file and task must have the same name")
    return task


def task_named(name: str, found: Mapping[str, Path]) -> Task:
    """The task of a name; `choice:BLINK` is the general task `choice` under the name of its table."""
    base, _, table = name.partition(":")
    task = load_task(found[base])
    return replace(task, name=name) if table else task


def _import_file(path: Path) -> ModuleType:
    if path.parent == OWN_TASKS:
        return importlib.import_module(f"eval_tasks.tasks.{path.stem}")
    spec = importlib.util.spec_from_file_location(f"outside_tasks.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"--tasks_from {path}: expected a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def first_line(path: Path) -> str:
    """First line of the module docstring, read without importing the module."""
    with path.open(encoding="utf-8") as lines:
        return next(lines, "").strip().strip('"')
