"""The general tasks: any table, named by its file, with a map of columns."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from eval_tasks.__main__ import main
from eval_tasks.readers.yes_no_rows import yes_totals
from eval_tasks.task import Failure, Sample, Scored
from eval_tasks.tasks import choice, open_answer, yes_no
from eval_tasks.totals import interval_of
from tests.conftest import image_bytes
from tests.eval_tasks.tasks.test_tasks import write_tsv

Write = Callable[..., str]
IMAGES = [base64.b64encode(image_bytes(number)).decode() for number in range(3)]
RULES = "vlmevalkit@2026-06"


def totals_of(folder: Path, name: str) -> dict[str, float]:
    entry = json.loads((folder / "results.json").read_text())["tasks"][name]
    return {metric: total["value"] for metric, total in entry["totals"].items()}


def test_tables_of_one_kind_are_asked_in_one_run_under_their_own_names(tmp_path: Path, write_script: Write) -> None:
    row = {
        "index": 0,
        "image": str(IMAGES[:2]),
        "question": "Which?",
        "A": "x",
        "B": "y",
        "answer": "B",
        "category": "c",
    }
    for name in ("BLINK", "MMIU"):
        write_tsv(tmp_path / f"{name}.tsv", [row, row | {"index": 1, "answer": "A"}])
    ask = ["--model", write_script({"*": "B"}), "--tasks", "choice", "--out", f"{tmp_path}/run"]
    ask += [part for name in ("BLINK", "MMIU") for part in ("--data", f"choice={tmp_path}/{name}.tsv")]
    assert main(ask) == 0
    for name in ("choice:BLINK", "choice:MMIU"):
        assert totals_of(tmp_path / "run", name) == {"accuracy": 50.0, "c": 50.0}
    assert main(["score", str(tmp_path / "run")]) == 0
    assert main(["compare", str(tmp_path / "run"), str(tmp_path / "run")]) == 0


def test_columns_of_other_names_are_mapped(tmp_path: Path, write_script: Write) -> None:
    rows = [{"ask": "How many?", "gt": "7", "photos": [{"bytes": image_bytes(n), "path": None} for n in range(2)]}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "counts.parquet")
    place = f"open_answer={tmp_path}/counts.parquet?question=ask&answer=gt&image=photos"
    ask = ["--model", write_script({"*": "7."}), "--tasks", "open_answer", "--out", f"{tmp_path}/run", "--data", place]
    assert main(ask) == 0
    assert totals_of(tmp_path / "run", "open_answer:counts")["accuracy"] == 100.0


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ("t.tsv", "no column 'question'; it has answer, ask, image, index"),
        ("t.tsv?question=asked", "no column 'asked'; it has answer, ask, image, index"),
        ("t.tsv?quest=ask", "NAME one of split"),
    ],
)
def test_a_missing_column_is_told_with_those_there(
    place: str, part: str, tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tsv(tmp_path / "t.tsv", [{"index": 0, "ask": "Is it?", "answer": "Yes", "image": IMAGES[0]}])
    ask = ["--model", write_script({"*": "Yes"}), "--tasks", "yes_no", "--out", f"{tmp_path}/run"]
    assert main([*ask, "--data", f"yes_no={tmp_path}/{place}"]) == 2
    assert part in capsys.readouterr().err


def test_a_row_without_an_image_is_not_asked_blind(
    tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tsv(tmp_path / "t.tsv", [{"index": 0, "question": "Is it?", "answer": "Yes"}])
    ask = ["--model", write_script({"*": "Yes"}), "--tasks", "yes_no", "--out", f"{tmp_path}/run"]
    assert main([*ask, "--data", f"yes_no={tmp_path}/t.tsv"]) == 2
    assert "nothing is asked blind" in capsys.readouterr().err


def test_a_general_task_without_a_table_says_what_to_pass(
    write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--model", write_script({"*": "Yes"}), "--tasks", "choice"]) == 2
    assert "--data choice=FILE" in capsys.readouterr().err


def test_images_stand_at_their_marks_in_question_and_options() -> None:
    row = {"question": "Is <image> like <image>?", "A": "no", "B": "<image>", "answer": "(B)"}
    sample = choice.ROWS.to_sample(row | {"image": [image_bytes(n) for n in range(3)]}, RULES, 0)
    assert sample.target["answer"] == "B"
    assert [block for block in sample.dialogue.turns[0].human if isinstance(block, int)] == [1, 2, 3]
    assert sample.dialogue.turns[0].human[:4] == ("Question: Is ", 1, " like ", 2)


def scored_yes_no(cases: list[tuple[str, str | None]]) -> list[Scored]:
    found = []
    for number, (gold, reply) in enumerate(cases):
        sample = yes_no.ROWS.to_sample({"question": "Is it?", "answer": gold}, RULES, number)
        one = Scored(sample, (reply or "",))
        one = yes_no.TASK.scored(one, RULES) if reply else Scored(sample, (), failure=Failure("timeout", ""))
        found.append(one)
    return found


def values(cases: list[tuple[str, str | None]]) -> dict[str, Any]:
    return {name: round(total.value, 4) for name, total in yes_totals(scored_yes_no(cases)).items()}


def test_f1_counts_yes() -> None:
    cases: list[tuple[str, str | None]] = [("yes", "Yes."), ("yes", "no"), ("no", "Yes"), ("no", "No"), ("yes", "yes")]
    assert values(cases) == {"F1": 66.6667, "precision": 66.6667, "recall": 66.6667, "share of yes": 60.0}
    total = yes_totals(scored_yes_no(cases * 12))["F1"]
    interval = interval_of(total)
    assert total.value == pytest.approx(200 / 3)
    assert 0 <= interval.low < total.value < interval.high <= 100


def test_no_failure_raises_f1() -> None:
    right: list[tuple[str, str | None]] = [("yes", "yes"), ("no", "no")]
    assert values([*right, ("no", None)])["F1"] < values(right)["F1"]
    assert values([*right, ("yes", None)])["F1"] < values(right)["F1"]


def asked(folder: Path, task: Any, row: dict[str, Any]) -> Sample:
    """The only sample of a table of this row."""
    (folder / "table.jsonl").write_text(json.dumps({"image": IMAGES[0], "question": "Which?", **row}) + "\n")
    (sample,) = task.samples(str(folder / "table.jsonl"), task.check_rules(None))
    found: Sample = sample
    return found


@pytest.mark.parametrize("answer", ["B", "b", "B.", "(B)", " b) ", "B:", 1, "1", "1.0", 1.0, "blue car"])
def test_an_answer_is_a_letter_the_number_of_an_option_or_its_text(answer: object, tmp_path: Path) -> None:
    sample = asked(tmp_path, choice.TASK, {"options": ["red car", "blue car"], "answer": answer})
    assert sample.target["answer"] == "B"


@pytest.mark.parametrize(
    ("options", "answer", "gold"),
    [(["2", "1"], "1", "B"), (["b", "a"], "b", "B"), (["E", "x"], "E", "A"), (["D", "B", "x"], "B", "B")],
)
def test_a_letter_and_a_number_come_before_the_text_of_an_option(
    options: list[str], answer: str, gold: str, tmp_path: Path
) -> None:
    assert asked(tmp_path, choice.TASK, {"options": options, "answer": answer}).target["answer"] == gold


@pytest.mark.parametrize("answer", ["B,C", "AB", "['B']", "E", 7, -1, True, "Answer: B", "green"])
def test_an_answer_that_is_no_option_is_an_error(answer: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"row 0: the answer is .*, expected one of A, B"):
        asked(tmp_path, choice.TASK, {"options": ["red car", "blue car"], "answer": answer})


@pytest.mark.parametrize(
    "options",
    [
        ["it's", "y"],
        '["it\'s", "y"]',
        "[\"it's\" 'y']",
        "[\"it's\"\n 'y']",
        {"A": "it's", "B": "y", "C": None},
        '{"A": "it\'s", "B": "y"}',
        ["it's", "y", None],
    ],
)
def test_options_are_a_list_its_text_as_python_json_or_numpy_write_it_or_an_object(
    options: object, tmp_path: Path
) -> None:
    sample = asked(tmp_path, choice.TASK, {"options": options, "answer": "B"})
    assert sample.target["options"] == {"A": "it's", "B": "y"}


@pytest.mark.parametrize(
    "options", ["x;y", "A. x", [None, "x"], [{"text": "x"}], {"1": "x"}, "{x", ["x"] * 27, "array(['x'])", [["x"]]]
)
def test_options_of_another_form_are_an_error_that_names_them(options: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="row 0: "):
        asked(tmp_path, choice.TASK, {"options": options, "answer": "A"})


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ([], "nothing is asked blind. The row has answer, image, options, question"),
        ("[]", "nothing is asked blind"),
        ("https://a.example/x.png", "an address isn't fetched"),
        ("https://a.example/x", "is an address; nothing is fetched"),
        ("x.png", "no image file 'x.png'"),
    ],
)
def test_a_row_whose_image_is_not_there_is_named(image: object, why: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        asked(tmp_path, choice.TASK, {"options": ["x", "y"], "answer": "A", "image": image})


def test_gold_answers_are_texts(tmp_path: Path) -> None:
    assert asked(tmp_path, open_answer.TASK, {"answer": ["cat", None]}).target["answers"] == ["cat"]
    assert asked(tmp_path, open_answer.TASK, {"answer": "['a cat' 'cat']"}).target["answers"] == ["a cat", "cat"]
    for answer in ({"text": ["cat"]}, [None, "cat"], [["cat"]], []):
        with pytest.raises(ValueError, match="row 0: "):
            asked(tmp_path, open_answer.TASK, {"answer": answer})
    with pytest.raises(ValueError, match="write a text that begins so as a list of one"):
        asked(tmp_path, open_answer.TASK, {"answer": "[cat]"})


@pytest.mark.parametrize(("answer", "gold"), [(1.0, "yes"), ("0.0", "no"), ("Yes.", "yes"), (False, "no")])
def test_yes_and_no_as_tables_write_them(answer: object, gold: str, tmp_path: Path) -> None:
    assert asked(tmp_path, yes_no.TASK, {"answer": answer}).target["answer"] == gold
