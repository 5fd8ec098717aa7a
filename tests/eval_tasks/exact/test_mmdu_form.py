"""The table for other harnesses: read by our own MMDU loader, and what comes back is scored like an own run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from eval_tasks.__main__ import main
from eval_tasks.exact.mmdu_form import FAILED, MARK, write_table
from eval_tasks.score_predictions import score_predictions
from eval_tasks.task import Sample, Task
from eval_tasks.tasks import mmdu


def write_replies(path: Path, samples: list[Sample], wrong: dict[str, dict[int, str]], as_list: bool) -> None:
    """A result file: the references, with other replies at (dialogue, turn)."""
    lines = []
    for sample in samples:
        if sample.num_given_turns or sample.target["kind"] not in ("own", "resolved", "alone"):
            continue
        name = sample.dialogue.id
        replies = [wrong.get(name, {}).get(turn, said) for turn, said in enumerate(sample.dialogue.references)]
        cells = {"prediction": str(replies)} if as_list else {f"prediction_{k}": r for k, r in enumerate(replies)}
        lines.append({"index": name, **cells})
    names = list(dict.fromkeys(name for line in lines for name in line))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, delimiter="\t")
        writer.writeheader()
        writer.writerows(lines)


def test_the_mmdu_loader_reads_the_same_dialogues(exact_samples: list[Sample], tmp_path: Path) -> None:
    table = tmp_path / "MMDU.tsv"
    num_rows = write_table(exact_samples, table)
    asked = {
        one.dialogue.id: one.dialogue for one in exact_samples if one.target["kind"] in ("own", "resolved", "alone")
    }
    assert num_rows == len(asked) == 72
    for sample in mmdu.samples(str(table), "official"):
        dialogue = asked.pop(sample.dialogue.id.removeprefix("mmdu-"))
        assert [image.data for image in sample.dialogue.images] == [image.data for image in dialogue.images]
        assert sample.dialogue.references == dialogue.references
        for read, sent in zip(sample.dialogue.turns, dialogue.turns, strict=True):
            assert read.introduces == sent.introduces
            words = ["".join(map(str, turn.human)).replace("_", " ").split() for turn in (read, sent)]
            assert words[0] == words[1]  # our loader writes the mark of an image, `Image_1: `, with a space
    assert not asked
    assert MARK in table.read_text()


@pytest.mark.parametrize("as_list", [False, True])
def test_replies_that_come_back_are_scored_like_an_own_run(
    task: Task, exact_folder: Path, exact_samples: list[Sample], tmp_path: Path, as_list: bool
) -> None:
    own = [one for one in exact_samples if one.target["kind"] == "own"]
    wrong = {own[0].dialogue.id: {0: FAILED}, own[1].dialogue.id: {1: "no idea"}}
    wrong[own[2].dialogue.id] = dict.fromkeys(range(len(own[2].dialogue.turns)), FAILED)
    path = tmp_path / "model_MMCR-Exact.tsv"
    write_replies(path, exact_samples, wrong, as_list)
    entry, records = score_predictions(task, path, None, str(exact_folder))
    num_questions = sum(len(one.dialogue.turns) for one in own)
    num_right = num_questions - 2 - len(own[2].dialogue.turns)
    assert entry["totals"]["accuracy"]["value"] == pytest.approx(100 * num_right / num_questions)
    assert entry["failures"] == {"no_reply": 1}
    assert entry["num_unread"] == 2
    assert entry["left_out"] == {}
    assert "pair_history" not in entry["totals"]
    assert {"cost_of_context", "last_alone"} <= entry["totals"].keys()
    assert len(records) == 72


def test_rows_that_are_missing_or_unknown_are_counted(
    task: Task, exact_folder: Path, exact_samples: list[Sample], tmp_path: Path
) -> None:
    path = tmp_path / "replies.jsonl"
    first = next(one for one in exact_samples if one.target["kind"] == "own")
    row = {"index": first.dialogue.id, "prediction": list(first.dialogue.references)}
    path.write_text("\n".join(json.dumps(one) for one in (row, {"index": "other", "prediction": ["red"]})))
    entry, _ = score_predictions(task, path, None, str(exact_folder))
    assert entry["left_out"] == {"rows not in the data": 1, "dialogues not in the file": 71}
    assert entry["totals"]["accuracy"]["value"] == 100.0
    for rows, said in (
        ([row, row], "occurs twice"),
        ([{"index": "other", "prediction": []}], "see --data"),
        ([{"index": first.dialogue.id, "said": "red"}], "no column prediction_0"),
    ):
        path.write_text("\n".join(map(json.dumps, rows)))
        with pytest.raises(ValueError, match=said):
            score_predictions(task, path, None, str(exact_folder))


def test_export_and_score_by_the_command_line(
    exact_folder: Path, exact_samples: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, replies = tmp_path / "MMCR-Exact.tsv", tmp_path / "replies.tsv"
    assert main(["exact", "export", str(exact_folder), "--output_file", str(table)]) == 0
    assert "72 dialogues" in capsys.readouterr().out
    write_replies(replies, exact_samples, {}, as_list=False)
    argv = ["score", "--task", "mmcr_exact", "--predictions", str(replies), "--data", str(exact_folder)]
    assert main(argv) == 0
    assert "100.0" in capsys.readouterr().out
    argv[argv.index(str(replies))] = str(tmp_path / "missing.tsv")
    assert main(argv) == 2
    assert "no such file" in capsys.readouterr().err
