"""Benchmarks asked from files in the forms they are published in."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from eval_tasks.__main__ import main
from eval_tasks.registry import find_tasks, load_task
from eval_tasks.task import Sample, Scored
from eval_tasks.tasks import hallusion_bench, mathvista, mmbench, mmmu, mmstar
from eval_tasks.totals import interval_of
from tests.conftest import image_bytes

Write = Callable[..., str]


def write_tsv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
    return path


def circular_rows() -> list[dict[str, Any]]:
    """Two questions, each with its options in both orders; the rotated row names the first row's image."""
    rows = []
    for index in (1, 2):
        image = base64.b64encode(image_bytes(index)).decode()
        asked = {"question": f"Which, {index}?", "hint": "", "category": "pets"}
        rows.append({"index": index, "image": image, **asked, "A": "a dog", "B": "a cat", "answer": "B"})
        rows.append({"index": 1_000_000 + index, "image": index, **asked, "A": "a cat", "B": "a dog", "answer": "A"})
    return rows


def test_circular_question_counts_only_if_each_rotation_is_right(tmp_path: Path, write_script: Write) -> None:
    write_tsv(tmp_path / "MMBench_DEV_EN.tsv", circular_rows())
    said = {"1": "B", "1000001": "A", "2": "B", "1000002": "B"}
    ask = ["--model", write_script(said), "--tasks", "mmbench", "--data", str(tmp_path), "--out", f"{tmp_path}/run"]
    assert main(ask) == 0
    totals = json.loads((tmp_path / "run" / "results.json").read_text())["tasks"]["mmbench"]["totals"]
    assert totals["accuracy"]["value"] == 50.0
    assert totals["each_rotation"]["value"] == 75.0


def test_a_rotation_shows_the_image_of_its_first_row(tmp_path: Path) -> None:
    rows = sorted(circular_rows(), key=lambda row: row["index"])  # as published: all first rotations, then the second
    path = write_tsv(tmp_path / "MMBench_DEV_EN.tsv", rows)
    samples = list(mmbench.ROWS.samples(str(path), "vlmevalkit@2025-03"))
    assert [sample.dialogue.images[0].data for sample in samples] == [image_bytes(n) for n in (1, 1, 2, 2)]
    assert [sample.group for sample in samples] == ["1", "1", "2", "2"]


def test_parquet_rows_of_the_hub_are_read_with_their_image(tmp_path: Path) -> None:
    row = {
        "question": "Which?",
        "options": ["a dog", "a cat"],
        "answer": "1",
        "image": {"bytes": image_bytes(0), "path": "0.png"},
    }
    parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "test-00000.parquet")
    (sample,) = mmstar.ROWS.samples(str(tmp_path), "vlmevalkit@2024-07")
    assert sample.target["answer"] == "B"
    assert sample.dialogue.images[0].data == image_bytes(0)


def test_an_image_that_is_no_base64_names_its_row(tmp_path: Path) -> None:
    path = write_tsv(
        tmp_path / "AI2D.tsv", [{"index": 1, "question": "Which?", "A": "x", "answer": "A", "image": "é" * 90}]
    )
    with pytest.raises(ValueError, match=r"row 0.*not an image in base64"):
        list(mmbench.ROWS.samples(str(path), "vlmevalkit@2025-03"))


def test_mmmu_images_stand_between_the_words_and_one_named_twice_is_shown_once() -> None:
    row = {
        "id": "validation_Art_1",
        "question": "Compare <image 2> with <image 1>; is <image 2> older?",
        "options": "['yes', 'no']",
        "answer": "A",
        "image_1": image_bytes(1),
        "image_2": image_bytes(2),
    }
    dialogue = mmmu.to_sample(row, "official", 0).dialogue
    assert dialogue.turns[0].human[:4] == ("Compare ", 1, " with ", 2)
    assert [image.data for image in dialogue.images] == [image_bytes(2), image_bytes(1)]
    assert "is image 2 older?" in dialogue.turns[0].human_text


def test_mathvista_of_the_hub_takes_the_decoded_image() -> None:
    row = {
        "pid": "1",
        "query": "How many?",
        "question": "How many?",
        "answer": "7",
        "question_type": "free_form",
        "answer_type": "integer",
        "image": "images/1.jpg",
        "decoded_image": {"bytes": image_bytes(3), "path": None},
        "metadata": {"task": "counting"},
    }
    sample = mathvista.ROWS.to_sample(row, "official", 0)
    assert sample.dialogue.images[0].data == image_bytes(3)
    assert sample.target["task"] == "counting"


def test_hallusion_figures_and_questions_count_only_as_a_whole() -> None:
    scored = []
    for name, gold, reply in (
        ("VD_math_1_0_0_0", "Yes", "Yes"),
        ("VD_math_1_0_0_1", "No", "Yes"),
        ("VD_math_1_0_1_0", "Yes", "Yes"),
        ("VD_math_1_1_0_0", "No", "No"),
    ):
        row = {"index": name, "question": "Same?", "answer": gold}
        sample: Sample = hallusion_bench.ROWS.to_sample(row, "vlmevalkit@2025-03", 0)
        points = hallusion_bench.TASK.score(sample, [reply], "vlmevalkit@2025-03", None)
        scored.append(Scored(sample, (reply,), points))
    totals = hallusion_bench.totals(scored, "vlmevalkit@2025-03")
    assert totals["aAcc"].value == 75.0
    assert totals["fAcc"].value == pytest.approx(200 / 3)
    assert totals["qAcc"].value == pytest.approx(200 / 3)
    assert totals["average"].value == pytest.approx((75 + 400 / 3) / 3)
    assert interval_of(totals["average"]).low <= totals["average"].value


QWEN = {
    ("mmstar", "qwen2_5_vl"): "Hint: h\nQuestion: q?\nOptions:\nA. x\nB. y\n"
    "Please select the correct answer from the options above. \n",
    ("mmstar", "qwen2_vl"): "Hint: h\nQuestion: q?\nOptions:\nA. x\nB. y\n"
    "Please select the correct answer from the options above.",
    ("hallusion_bench", "qwen2_5_vl"): "q?",
    ("hallusion_bench", "qwen2_vl"): "q? Please answer yes or no.",
    ("mme", "qwen2_5_vl"): "q?",
    ("mme", "qwen2_vl"): "q?",
    ("ocrbench", "qwen2_5_vl"): "q?",
    ("ocrbench", "qwen2_vl"): "q?\nPlease try to answer the question with short words or phrases if possible.",
    ("mathvista", "qwen2_5_vl"): "q?",
    ("mathvista", "qwen2_vl"): "q?\nPlease try to answer the question with short words or phrases if possible.",
    ("mmvet", "qwen2_5_vl"): "q?",
    ("mmvet", "qwen2_vl"): "q?",
}


@pytest.mark.parametrize(("task", "model"), QWEN)
def test_prompts_are_those_of_the_models_adapter(task: str, model: str) -> None:
    row = {"index": "VD_a_1_0_0_1", "question": "q?", "answer": "Yes", "category": "c", "image_path": "1.jpg"}
    row |= {"A": "x", "B": "y", "answer": "A", "hint": "h"} if task == "mmstar" else {}
    to_sample = load_task(find_tasks()[task]).to_sample
    assert to_sample is not None
    sample = to_sample(row, f"vlmevalkit@2025-03:{model}", 0)
    assert sample.dialogue.turns[0].human_text == QWEN[task, model]
