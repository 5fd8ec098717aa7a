from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn
from mmcr_dataset.record.load import load_rows
from tests.conftest import image_bytes
from tests.training.run.test_checkpoints import small_files as small_files
from tests.training.test_train import read_log, settings
from training.data.digest import digest_rows
from training.run.checkpoints import delete_old_checkpoints, read_complete, write_complete
from training.run.identity import check_same_run, differences, identify, lock_run
from training.sft_settings import count_warmup_steps
from training.train import train

IDENTITY: dict[str, Any] = {
    "settings": {"seed": 0, "turns_max": 0, "lr_schedule": "cosine"},
    "end": {"epochs": 1.0, "max_steps": 0},
    "model": {"name": "a/b", "revision": None, "digest": "m"},
    "data": [{"name": "one", "rows": 8, "taken": 8, "digest": "d"}],
}


def test_differences_name_flag_value_and_what_it_was() -> None:
    other = {
        "settings": {"seed": 1, "turns_max": 0, "lr_schedule": "cosine"},
        "model": {"name": "a/b", "revision": "v2", "digest": "n"},
        "data": [{"name": "two", "rows": 9, "taken": 4, "digest": "e"}],
    }
    assert differences(IDENTITY, IDENTITY) == []
    assert differences(IDENTITY, other) == [
        "--model a/b@v2 (was a/b, other weights)",
        "--data 4 rows of two (was 8 rows of one, other rows)",
        "--seed 1 (was 0)",
    ]


def test_same_weights_and_rows_under_another_name_are_the_same_run() -> None:
    moved = json.loads(json.dumps(IDENTITY))
    moved["model"]["name"], moved["data"][0]["name"] = "/elsewhere/b", "/elsewhere/one"
    assert differences(IDENTITY, moved) == []


def test_checkpoint_of_an_older_version_is_resumed_from_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "training"):
        check_same_run(Path("checkpoint-2"), None, IDENTITY)
    assert "not compared" in caplog.text


def one_question(image: bytes, answer: str = "Grey.") -> list[Dialogue]:
    return [
        Dialogue("a", (Turn(("Image_1: ", 1, "\nWhat?"), answer),), (DialogueImage(image),)),
        Dialogue("b", (Turn(("Only words?",), "Yes."),)),
    ]


def test_digest_of_rows_sees_a_changed_answer_and_a_changed_image_but_not_the_folder(tmp_path: Path) -> None:
    first, second = image_bytes(1, (56, 56)), image_bytes(2, (56, 56))
    same_size = second[: len(first)].ljust(len(first), b"\0")
    sets = {
        "one": one_question(first),
        "moved": one_question(first),
        "answer": one_question(first, "Gray."),
        "image": one_question(same_size),
    }
    found = {}
    for name, rows in sets.items():
        write_dataset(rows, tmp_path / name)
        found[name] = digest_rows(load_rows(str(tmp_path / name)))
    assert found["one"] == found["moved"]
    assert len(set(found.values())) == 3
    assert digest_rows(load_rows(str(tmp_path / "one")).select([1, 0])) not in found.values()


def test_digest_of_rows_does_not_depend_on_the_shards(tmp_path: Path, dialogues: list[Dialogue]) -> None:
    from datasets import concatenate_datasets

    write_dataset(dialogues, tmp_path / "all")
    rows = load_rows(str(tmp_path / "all"))
    parts = [rows.select(range(3)).flatten_indices(), rows.select(range(3, len(rows)))]
    assert digest_rows(concatenate_datasets(parts)) == digest_rows(rows)


@pytest.fixture
def stopped(data_folder: Path, tmp_path: Path) -> Path:
    """A run that was stopped at its second step."""
    train(settings(data_folder, tmp_path / "run", max_steps=2, checkpoint_steps=2))
    return tmp_path / "run"


def test_resume_refuses_another_runs_settings_by_name_and_takes_what_changes_nothing(
    stopped: Path, data_folder: Path, tmp_path: Path, dialogues: list[Dialogue]
) -> None:
    write_dataset(dialogues[:-1], tmp_path / "fewer")
    for changed, said in (
        ({"global_batch_dialogues": 2}, r"--global_batch_dialogues 2 \(was 4\)"),
        ({"seed": 9, "learning_rate": 0.5}, r"--learning_rate 0.5 \(was 0.001\); --seed 9 \(was 0\)"),
        ({"data": [str(tmp_path / "fewer")]}, r"--data 7 rows of .*fewer \(was 8 rows of"),
        ({"model": "tiny:qwen2_5_vl"}, r"--model tiny:qwen2_5_vl \(was tiny:ovis2, other weights\)"),
    ):
        with pytest.raises(ValueError, match=rf"checkpoint-2: of another run: .*{said}"):
            train(settings(data_folder, stopped, resume=True, **changed))
    (stopped.parent / "moved").symlink_to(data_folder)
    train(
        settings(
            tmp_path / "moved",
            stopped,
            resume=True,
            max_steps=3,
            bin_tokens=1100,
            max_length_tokens=1000,
            gradient_checkpointing="all",
        )
    )
    assert [line["step"] for line in read_log(stopped)] == [1, 2, 3]


def test_fresh_start_moves_an_earlier_run_and_overwrite_deletes_it(
    stopped: Path, data_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = (stopped / "log.jsonl").read_text()
    train(settings(data_folder, stopped, dry_run=True, seed=5))
    assert (stopped / "log.jsonl").read_text() == before, "a dry run changed the log"
    with pytest.raises(ValueError, match=r"--model .*final is in --output_dir .* which holds an earlier run"):
        train(settings(data_folder, stopped, model=str(stopped / "final"), max_steps=1))
    train(settings(data_folder, stopped, max_steps=1, seed=7))
    assert f"moved to {stopped / 'earlier' / '1'}" in caplog.text
    assert (stopped / "earlier" / "1" / "log.jsonl").read_text() == before
    assert read_complete(stopped / "earlier" / "1" / "checkpoints" / "checkpoint-2")["run"]["settings"]["seed"] == 0
    assert [line["step"] for line in read_log(stopped)] == [1]
    assert not (stopped / "checkpoints" / "checkpoint-2").exists()
    train(settings(data_folder, stopped, max_steps=1, seed=8, overwrite_output_dir=True))
    assert not (stopped / "earlier" / "2").exists()


def test_folder_that_another_process_trains_in_is_refused(data_folder: Path, tmp_path: Path) -> None:
    with lock_run(tmp_path), pytest.raises(ValueError, match="another process trains in it"):
        train(settings(data_folder, tmp_path, max_steps=1))


def test_identity_does_not_depend_on_the_place_of_the_output(data_folder: Path, tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    words = SimpleNamespace(chat_template="words")
    here, there = (identify(settings(data_folder, tmp_path / name), model, words, []) for name in ("a", "b"))
    assert here == there
    with torch.no_grad():
        model.bias[1] += 1
    assert identify(settings(data_folder, tmp_path / "a"), model, words, []) != here


@pytest.fixture
def base(data_folder: Path, tmp_path: Path) -> Path:
    """The folder of a tiny model."""
    train(settings(data_folder, tmp_path / "start", dry_run=True))
    return tmp_path / "start" / "base"


def test_loss_that_is_not_finite_stops_with_step_and_rows_before_it_is_saved(
    base: Path, data_folder: Path, tmp_path: Path, dialogues: list[Dialogue]
) -> None:
    weights = load_file(base / "model.safetensors")
    name = next(name for name in weights if name.endswith("down_proj.weight"))
    weights[name] = weights[name].clone().fill_(float("nan"))
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"step 1: the loss is not finite, in a micro-batch with the rows ") as error:
        train(settings(data_folder, out, model=str(base), checkpoint_steps=1))
    assert sum(dialogue.id in str(error.value) for dialogue in dialogues) == 4
    assert not (out / "final").exists()
    assert not (out / "log.jsonl").exists()
    assert not list((out / "checkpoints").glob("*"))


def test_gradient_that_is_not_finite_stops_before_it_reaches_the_weights(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import trainer

    plain = trainer.DialogueTrainer.training_step

    def step(self: Any, model: Any, *args: Any) -> torch.Tensor:
        loss = plain(self, model, *args)
        if self.state.global_step == 1:
            next(p for p in model.parameters() if p.grad is not None).grad.fill_(float("inf"))
        return loss

    monkeypatch.setattr(trainer.DialogueTrainer, "training_step", step)
    with pytest.raises(ValueError, match=r"step 2: the gradient is not finite.*newest checkpoint is .*checkpoint-1\."):
        train(settings(data_folder, tmp_path / "out", checkpoint_steps=1))
    assert [line["step"] for line in read_log(tmp_path / "out")] == [1]
    saved = load_file(tmp_path / "out" / "checkpoints" / "checkpoint-1" / "model.safetensors")
    assert all(bool(value.isfinite().all()) for value in saved.values())


def test_final_on_a_full_disk_says_what_to_do_and_an_earlier_one_stands(
    base: Path, data_folder: Path, tmp_path: Path, small_files: None
) -> None:
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"final: could not be written .*; free disk space or choose another"):
        train(settings(data_folder, out, model=str(base), max_steps=1))
    assert not (out / "final").exists()
    assert not (out / "final.unfinished").exists()


def test_last_step_is_logged_whatever_the_interval(data_folder: Path, tmp_path: Path) -> None:
    train(settings(data_folder, tmp_path / "out", max_steps=3, log_every_steps=2))
    assert [line["step"] for line in read_log(tmp_path / "out")] == [2, 3]


@pytest.mark.parametrize(
    ("percent", "num_steps", "expected"), [(0, 9, 0), (10, 1, 0), (10, 9, 0), (10, 10, 1), (50, 3, 1), (100, 4, 3)]
)
def test_warmup_is_the_percentage_that_it_says(percent: float, num_steps: int, expected: int) -> None:
    config = settings(Path("data"), Path("out"), warmup_percent=percent)
    assert count_warmup_steps(config, num_steps) == expected


def test_constant_schedule_has_its_warmup(data_folder: Path, tmp_path: Path) -> None:
    train(settings(data_folder, tmp_path / "out", max_steps=4, warmup_percent=50, learning_rate=1e-3))
    assert [line["learning_rate"] for line in read_log(tmp_path / "out")] == pytest.approx([0, 5e-4, 1e-3, 1e-3])


def test_delete_old_checkpoints_keeps_the_newest_whole_ones_and_what_is_being_written(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if step not in (4, 10):
            write_complete(tmp_path / f"checkpoint-{step}", {"step": step})
    (tmp_path / "checkpoint-best").mkdir()
    delete_old_checkpoints(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-10", "checkpoint-6", "checkpoint-8", "checkpoint-best",
    ]  # fmt: skip


def test_damaged_mark_of_a_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "complete.json").write_text('{"step": 1')
    with pytest.raises(ValueError, match=r"complete.json: damaged .*delete .* to resume from the one before"):
        read_complete(tmp_path)
