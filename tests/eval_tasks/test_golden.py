"""Frozen cases: how a reply is read, what it is worth, what exactly is asked. `UPDATE_GOLDEN=1` writes the prompts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.readers.multiple_choice import read_letter
from eval_tasks.readers.yes_no import read_yes_no
from eval_tasks.registry import find_tasks, load_task

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
PETS = {"A": "a dog", "B": "a cat", "C": "a bird"}


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in json.loads((GOLDEN / "scoring" / name).read_text())]


@pytest.mark.parametrize("case", cases("letters.json"))
def test_letters_are_read_by_the_rules(case: dict[str, Any]) -> None:
    rules = [name for name in case if name not in ("name", "options", "reply")]
    assert {name: read_letter(case["reply"], PETS, name) for name in rules} == {name: case[name] for name in rules}


@pytest.mark.parametrize("case", cases("yes_no.json"))
def test_yes_and_no_are_read_by_the_rules(case: dict[str, Any]) -> None:
    rules = [name for name in case if name not in ("name", "reply")]
    assert {name: read_yes_no(case["reply"], name) for name in rules} == {name: case[name] for name in rules}


@pytest.mark.parametrize("case", cases("open_answers.json"))
def test_open_answers_get_their_points(case: dict[str, Any]) -> None:
    task = load_task(find_tasks()[case["task"]])
    assert task.to_sample is not None
    sample = task.to_sample(case["row"], case["rules"], 0)
    assert list(task.score(sample, [case["reply"]], case["rules"], case.get("verdict")).values()) == [case["points"]]


@pytest.mark.parametrize("path", sorted((GOLDEN / "prompts").glob("*.json")), ids=lambda path: path.stem)
def test_prompts_are_sent_exactly(path: Path) -> None:
    golden = json.loads(path.read_text())
    task = load_task(find_tasks()[path.stem])
    assert task.to_sample is not None
    sent = {rules: task.to_sample(golden["row"], rules, 0).dialogue.turns[0].human_text for rules in task.rules}
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(json.dumps({**golden, "sent": sent}, indent=2, ensure_ascii=False) + "\n")
    assert sent == golden["sent"]


def test_every_task_of_rows_has_its_prompts_frozen() -> None:
    of_rows = {name for name, path in find_tasks().items() if load_task(path).to_sample is not None}
    assert of_rows == {path.stem for path in (GOLDEN / "prompts").glob("*.json")}
