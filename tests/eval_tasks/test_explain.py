"""explain A B: the cause of every changed sample, and what each cause moves the score by."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.__main__ import main
from eval_tasks.report.explain import to_cause
from eval_tasks.task import Failure, Sample, Scored
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn
from tests.eval_tasks.test_failures_count import questions

Write = Callable[..., str]


def answer(**changed: Any) -> Scored:
    """An answer to a question about one image."""
    asked = Dialogue("d", (Turn((1, changed.pop("question", "Which?")), "B"),), (changed.pop("image", None) or IMAGE,))
    sample = Sample(asked, {"answer": changed.pop("gold", "B"), "options": {}}, "d")
    whole: dict[str, Any] = {"replies": ("B",), "points": {"accuracy": 1.0}, **changed}
    return Scored(sample, **whole)


IMAGE, OTHER = (DialogueImage(data, known_sha256=data.hex() * 16) for data in (b"\x01\x02", b"\x03\x04"))


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"gold": "C"}, "label version"),
        ({"question": "Which one?"}, "prompt"),
        ({"image": OTHER}, "pixels"),
        ({"replies": (), "failure": Failure("timeout", "")}, "failure"),
        ({"replies": ("Be",), "truncated": (1,)}, "truncation"),
        ({"replies": ("A",)}, "decoding"),
        ({"judged": {"reply": "Z"}}, "judge"),
        ({"unjudged": Failure("refusal", "")}, "judge"),
        ({"reading": "A"}, "parser"),
    ],
)
def test_each_cause_is_told_from_the_others(changed: Mapping[str, Any], cause: str) -> None:
    assert to_cause(answer(), answer(**changed), same_model=True, entries=({}, {}))[0] == cause


def test_other_replies_of_another_model_are_the_models() -> None:
    assert to_cause(answer(), replace(answer(), replies=("A",)), same_model=False, entries=({}, {}))[0] == "model"


@pytest.mark.parametrize(
    ("put", "cause"),
    [({"images": {"min_pixels": 1}}, "pixels"), ({"max_tiles": 64}, "pixels"), ({"reply_begin": " Answer:"}, "prompt")],
)
def test_other_replies_to_images_with_other_limits_are_not_the_decodings(put: dict[str, Any], cause: str) -> None:
    a, b = answer(), answer(replies=("A",))
    assert to_cause(a, b, same_model=True, entries=({}, put))[0] == cause
    assert to_cause(a, b, same_model=True, entries=(put, put))[0] == "decoding"
    assert to_cause(a, answer(reading="A"), same_model=True, entries=({}, put))[0] == "parser"


def lines_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_two_runs_are_explained_sample_by_sample(
    tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    data = questions(tmp_path / "MMStar.jsonl")
    scripts = {"a": {"*": "B"}, "b": {"*": "B", "1": "A", "2": "C", "3": {"failure": "timeout"}}}
    for name, script in scripts.items():
        model = write_script(script, f"{name}.json")
        assert main(["--model", model, "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/{name}"]) == 0
    capsys.readouterr()
    page = tmp_path / "why.html"
    assert main(["explain", f"{tmp_path}/a", f"{tmp_path}/b", "--html", str(page), "--data", f"mmstar={data}"]) == 0
    lines = lines_of(capsys.readouterr().out)
    causes = {line[1]: line[3:] for line in lines if len(line) == 7}
    assert causes["failure"] == ["1", "0", "1", "-10.00"]
    assert causes["model"] == ["2", "0", "2", "-20.00"]
    assert causes["all"] == ["3", "0", "3", "-30.00"]
    assert [line[1] for line in lines if len(line) == 6][2:] == ["1", "2", "3"]
    text = page.read_text()
    assert all(f"Sample {n}" in text for n in (1, 2, 3))
    assert "Sample 4" not in text


def test_one_run_under_two_rule_sets_differs_by_the_parser(
    tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    data = questions(tmp_path / "MMStar.jsonl", 4)
    model = write_script({"*": "B", "1": "the answer is B", "2": "It shows a cat."})
    assert main(["--model", model, "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/a"]) == 0
    before = (tmp_path / "a" / "results.json").read_bytes()
    capsys.readouterr()
    assert main(["explain", f"{tmp_path}/a", "--rules", "official"]) == 0
    lines = lines_of(capsys.readouterr().out)
    assert [line[1:3] for line in lines if len(line) == 6][2:] == [["2", "parser"]]
    assert (tmp_path / "a" / "results.json").read_bytes() == before


def test_our_run_is_explained_against_a_foreign_predictions_file(
    tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    data = questions(tmp_path / "MMStar.jsonl", 4)
    assert main(["--model", write_script({"*": "B"}), "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/a"]) == 0
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    with (tmp_path / "theirs.tsv").open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(["index", "question", "A", "B", "C", "D", "answer", "prediction"])
        for row in rows:
            said = "B" if row["index"] else "A"
            table.writerow([row[name] for name in ("index", "question", "A", "B", "C", "D", "answer")] + [said])
    capsys.readouterr()
    assert main(["explain", f"{tmp_path}/a", f"{tmp_path}/theirs.tsv"]) == 0
    lines = lines_of(capsys.readouterr().out)
    assert [line[1:3] for line in lines if len(line) == 6][2:] == [["0", "model"]]
