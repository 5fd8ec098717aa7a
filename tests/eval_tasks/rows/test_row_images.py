"""Nothing is asked blind or wrongly: whose table a folder holds, and which image a row means."""

from __future__ import annotations

import base64
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from eval_tasks.__main__ import main
from eval_tasks.registry import find_tasks, load_task
from eval_tasks.task import Sample
from tests.conftest import image_bytes

RULES = "vlmevalkit@2025-03"
IMAGE = base64.b64encode(image_bytes(1)).decode()


def table(path: Path, *rows: dict[str, object]) -> Path:
    """A TSV of rows; the right answer is B."""
    path.parent.mkdir(parents=True, exist_ok=True)
    base = {"question": "Which?", "A": "a dog", "B": "a cat", "answer": "B"}
    whole = [{"index": n, **base, **row} for n, row in enumerate(rows)]
    header = list(dict.fromkeys(name for row in whole for name in row))
    lines = [header, *([str(row.get(name, "")) for name in header] for row in whole)]
    quoted = ['"' + cell.replace('"', '""') + '"' if "\n" in cell else cell for line in lines for cell in line]
    cells = iter(quoted)
    path.write_text("".join("\t".join(next(cells) for _ in header) + "\n" for _ in lines))
    return path


def samples(data: Path, task: str = "mmstar") -> list[Sample]:
    return list(load_task(find_tasks()[task]).samples(str(data), RULES))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"image": ""}, "row 2: no image"),
        ({"image_path": "missing.jpg"}, "row 2: no image file 'missing.jpg'"),
        ({"image": "missing.png"}, "row 2: no image file 'missing.png'"),
        ({"image_path": "../outside.jpg"}, "row 2: no image file '../outside.jpg'"),
        ({"image": "7"}, "row 2: image '7' is not the index of another row"),
        ({"image": "1"}, "row 2: image '1' is not the index of another row"),
    ],
)
def test_an_image_that_cannot_be_found_is_an_error_with_its_row(
    row: dict[str, object], said: str, tmp_path: Path
) -> None:
    (tmp_path / "outside.jpg").write_bytes(image_bytes(2, format="JPEG"))
    data = table(tmp_path / "data" / "MMStar.tsv", {"image": IMAGE}, row)
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        samples(data)


def test_images_are_found_in_files_in_other_rows_and_in_broken_lines(tmp_path: Path) -> None:
    folded = "\n".join(IMAGE[start : start + 76] for start in range(0, len(IMAGE), 76))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(image_bytes(2, format="JPEG"))
    rows = [{"image": "2"}, {"image": "0"}, {"image": folded}, {"image_path": "a.jpg"}, {"image": "images/a.jpg"}]
    found = [sample.dialogue.images[0].data for sample in samples(table(tmp_path / "MMStar.tsv", *rows))]
    assert found == [image_bytes(1)] * 3 + [image_bytes(2, format="JPEG")] * 2


def test_words_of_an_empty_cell_are_no_options_and_no_hints(tmp_path: Path) -> None:
    row = {"image": IMAGE, "C": "nan", "D": "None", "hint": "nan", "answer": "D"}
    (sample,) = samples(table(tmp_path / "MMStar.tsv", row))
    assert sample.dialogue.turns[0].human_text.startswith("Which?\nA. a dog\nB. a cat\nD. None\n")
    row = {"image": IMAGE, "C": "nan", "answer": "C"}
    (sample,) = samples(table(tmp_path / "MMStar.tsv", row))
    assert "C. nan" in sample.dialogue.turns[0].human_text  # the gold option is a word


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("ai2d", "MMStar.tsv"),
        ("ocrbench", "OCRBench_v2.tsv"),
        ("mme", "MME-RealWorld.tsv"),
        ("mmmu", "MMMU_Pro_10c.tsv"),
        ("mmvet", "MMVet_Hard.tsv"),
        ("mmbench", "MMBench_DEV_CN.tsv"),
        ("seedbench", "SEEDBench2.tsv"),
        ("ai2d", "mmstar/val-00000-of-00001.parquet"),
    ],
)
def test_a_folder_with_another_benchmarks_table_is_an_error_with_its_names(
    task: str, name: str, tmp_path: Path
) -> None:
    path = table(tmp_path / "LMUData" / name, {"image": IMAGE})
    if path.suffix == ".parquet":
        parquet.write_table(pa.table({"question": ["?"], "answer": ["B"]}), path)
    with pytest.raises(ValueError, match=f"doesn't hold the table of .*it has {name}"):
        samples(tmp_path / "LMUData", task)


def test_a_table_is_found_beside_the_shards_of_another_set(tmp_path: Path) -> None:
    table(tmp_path / "MMStar.tsv", {"image": IMAGE})
    parquet.write_table(pa.table({"question": ["other"], "answer": ["B"]}), tmp_path / "train-00000.parquet")
    (sample,) = samples(tmp_path)
    assert "Which?" in sample.dialogue.turns[0].human_text


def test_of_several_splits_the_benchmarks_own_is_read(tmp_path: Path) -> None:
    for split in ("train", "val"):
        row = {"question": f"of {split}?", "A": "x", "B": "y", "answer": "B", "image": image_bytes(1)}
        (tmp_path / "MMStar" / "data").mkdir(parents=True, exist_ok=True)
        shard = tmp_path / "MMStar" / "data" / f"{split}-00000-of-00001.parquet"
        parquet.write_table(pa.Table.from_pylist([row]), shard)
    (sample,) = samples(tmp_path / "MMStar")
    assert "of val?" in sample.dialogue.turns[0].human_text


def test_a_split_without_answers_is_answered_and_written_to_be_handed_in(
    tmp_path: Path, write_script: object, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"image": IMAGE, "answer": "", "hint": "=1+1", "category": "x"}, {"image": "0", "answer": ""}]
    data = table(tmp_path / "MMBench_TEST_EN.tsv", *rows)
    model = write_script({"0": "A", "1": "=B"})  # type: ignore[operator]
    ask = ["--model", model, "--tasks", "mmbench", "--data", str(data), "--out", str(tmp_path / "run")]
    assert main(ask) == 0
    assert "no gold answers" in capsys.readouterr().out
    sheet = openpyxl.load_workbook(tmp_path / "run" / "hand_in" / "mmbench.xlsx").worksheets[0]
    lines = list(sheet.iter_rows(values_only=True))
    header = list(lines[0])
    assert "image" not in header
    assert [line[header.index("prediction")] for line in lines[1:]] == ["A", "=B"]
    assert lines[1][header.index("hint")] == "=1+1"  # a text, not a formula
    assert main(["score", str(tmp_path / "run")]) == 0
    assert main(["report", str(tmp_path / "run")]) == 0
    assert main(["compare", str(tmp_path / "run"), str(tmp_path / "run")]) == 0
    assert "no verdict: the data has no gold answers" in capsys.readouterr().out
    assert main(["explain", str(tmp_path / "run"), str(tmp_path / "run")]) == 2


def test_a_row_without_an_answer_among_rows_with_one_is_an_error(tmp_path: Path) -> None:
    data = table(tmp_path / "MMStar.tsv", {"image": IMAGE}, {"image": IMAGE, "answer": ""})
    with pytest.raises(ValueError, match="row 1 has no answer"):
        samples(data)


def test_the_folder_of_the_environment_is_read_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(tmp_path / "MMStar.tsv", {"image": IMAGE})
    monkeypatch.setenv("LMUData", str(tmp_path))
    (sample,) = load_task(find_tasks()["mmstar"]).samples(None, RULES)
    assert "Which?" in sample.dialogue.turns[0].human_text
    monkeypatch.setenv("LMUData", str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="no such folder"):
        list(load_task(find_tasks()["mmstar"]).samples(None, RULES))
