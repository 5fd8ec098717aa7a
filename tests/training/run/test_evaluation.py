from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.images import decode_rgb
from mmcr_dataset.record.load import load_dialogues, load_rows
from mmcr_dataset.record.messages import to_messages
from mmcr_dataset.record.row import to_row
from tests.training.test_train import read_log, settings
from training.data.encode import Encoder
from training.data.held_out import choose_groups, group_rows, hold_out, row_keys
from training.data.mixture import load_mixture
from training.run.checkpoints import read_complete
from training.train import train


@pytest.fixture
def held_folder(tmp_path: Path, make_dialogue: Any) -> Path:
    """Three dialogues that share nothing with those of `data_folder`, of two domains and one without."""
    dialogues = [make_dialogue(num_images=1 + seed % 2, num_turns=2 + seed % 2, seed=seed) for seed in (21, 22, 23)]
    named = [
        dataclasses.replace(one, domain=domain) for one, domain in zip(dialogues, ("food", "art", None), strict=True)
    ]
    write_dataset(named, tmp_path / "held")
    return tmp_path / "held"


def evaluations(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "eval" / "losses.jsonl").read_text().splitlines()]


def losses_with_plain_transformers(folder: Path, dialogues: list[Dialogue]) -> dict[str, float]:
    """Of a model's folder: the mean loss of the answers' tokens, of all, by turn and by domain."""
    model, processor = AutoModelForImageTextToText.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    sums: dict[str, list[float]] = {}
    for dialogue in dialogues:
        encoded = Encoder(processor).encode(dialogue)
        with torch.no_grad():
            logits = model(input_ids=encoded.input_ids_T[None], **encoded.images).logits[0, :-1]
        labels = encoded.labels_T[1:]
        losses = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="none")
        turn = 0
        for place, label in enumerate(labels.tolist()):
            if label == -100:
                continue
            turn += place == 0 or labels[place - 1] == -100
            for name in ("", f"/turn/{turn}", f"/domain/{dialogue.domain or 'held'}"):
                sums.setdefault(f"eval_loss{name}", []).append(float(losses[place]))
    return {name: sum(values) / len(values) for name, values in sums.items()}


@pytest.mark.parametrize("packing", [True, False])
def test_evaluation_has_the_losses_of_plain_transformers_by_turn_and_domain(
    packing: bool, data_folder: Path, held_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    final = train(settings(
        data_folder, out, eval_data=[str(held_folder)], packing=packing, attention="auto", eval_steps=1, eval_replies=0,
    ))  # fmt: skip
    lines = evaluations(out)
    assert [line["step"] for line in lines] == [1, 2]
    dialogues = list(load_dialogues(str(held_folder)))
    expected = losses_with_plain_transformers(final, dialogues)
    measured = {name: value for name, value in lines[-1].items() if name.startswith("eval_loss")}
    assert measured == pytest.approx(expected, rel=1e-4)
    assert {"eval_loss/domain/food", "eval_loss/domain/held", "eval_loss/turn/3"} <= set(measured)


def test_evaluation_changes_nothing_in_the_training(data_folder: Path, held_folder: Path, tmp_path: Path) -> None:
    train(settings(data_folder, tmp_path / "without"))
    train(settings(data_folder, tmp_path / "with", eval_data=[str(held_folder)], eval_steps=1))
    assert [line["loss"] for line in read_log(tmp_path / "with")] == [
        line["loss"] for line in read_log(tmp_path / "without")
    ]


def test_replies_are_written_with_their_images_and_are_those_of_plain_transformers(
    data_folder: Path, held_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    final = train(settings(data_folder, out, eval_data=[str(held_folder)], eval_replies=2))
    dialogues = list(load_dialogues(str(held_folder)))[:2]
    page = (out / "eval" / "replies-000002.html").read_text()
    assert page.count('<img src="data:image/jpeg') == sum(len(dialogue.images) for dialogue in dialogues)
    written = [json.loads(line) for line in (out / "eval" / "replies-000002.jsonl").read_text().splitlines()]
    assert [len(line["turns"]) for line in written] == [len(dialogue.turns) for dialogue in dialogues]
    model, processor = AutoModelForImageTextToText.from_pretrained(final), AutoProcessor.from_pretrained(final)
    dialogue, said = dialogues[0], [turn["reply"] for turn in written[0]["turns"]]
    text = Encoder(processor).render_text(to_messages(dialogue, said[:-1]), ask=True)
    asked = processor(text=[text], images=[[decode_rgb(i.data) for i in dialogue.images]], return_tensors="pt")
    new = model.generate(**asked, max_new_tokens=128, do_sample=False)[0, asked["input_ids"].shape[1] :]
    assert processor.tokenizer.decode(new, skip_special_tokens=True).strip() == said[-1]


def test_best_checkpoint_is_kept_and_is_the_result_and_stops_early(
    data_folder: Path, held_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    final = train(settings(  # a learning rate at which the loss rises soon
        data_folder, out, eval_data=[str(held_folder)], eval_steps=1, eval_replies=0, load_best_model_at_end=True,
        early_stopping_patience=2, max_steps=40, learning_rate=0.02, keep_checkpoints=1, checkpoint_steps=1,
    ))  # fmt: skip
    losses = [line["eval_loss"] for line in evaluations(out)]
    best = losses.index(min(losses)) + 1
    assert len(losses) == best + 2 < 40
    kept = {path.name for path in (out / "checkpoints").glob("checkpoint-*")}
    assert kept == {f"checkpoint-{best}", f"checkpoint-{len(losses)}"}
    assert read_complete(out / "checkpoints" / f"checkpoint-{best}")["step"] == best
    found = losses_with_plain_transformers(final, list(load_dialogues(str(held_folder))))
    assert found["eval_loss"] == pytest.approx(min(losses), rel=1e-4)
    assert json.loads((final / "training.json").read_text())["run"]["kept_step"] == best
    assert read_log(out)[-1]["step"] == len(losses)


def test_resumed_run_has_the_evaluations_of_one_that_never_stopped(
    data_folder: Path, held_folder: Path, tmp_path: Path
) -> None:
    more = {"eval_data": [str(held_folder)], "eval_steps": 1, "eval_replies": 0, "checkpoint_steps": 2}
    train(settings(data_folder, tmp_path / "whole", **more, max_steps=4))
    train(settings(data_folder, tmp_path / "halves", **more, max_steps=3))
    train(settings(data_folder, tmp_path / "halves", **more, max_steps=4, resume=True))
    assert evaluations(tmp_path / "halves") == evaluations(tmp_path / "whole")


def test_held_out_share_no_image_and_no_text_with_the_trained(tmp_path: Path, make_dialogue: Any) -> None:
    """Each dialogue of a pair shows the other's first image; some rows are taken twice."""
    dialogues = []
    for pair in range(20):
        first = make_dialogue(num_images=2, num_turns=2, seed=pair)
        second = make_dialogue(num_images=2, num_turns=2, seed=100 + pair)
        dialogues += [first, dataclasses.replace(second, images=(first.images[0], second.images[1]))]
    write_dataset(dialogues, tmp_path / "data")
    config = settings(tmp_path / "data", tmp_path, eval_percent=15, data_weights=[1.5])
    rows, shares = load_mixture(config)
    kept, held_out, note, _ = hold_out(config, rows, shares)
    assert held_out is not None
    assert len(kept) + len(held_out) <= len(rows) == 60
    assert 4 <= len(held_out) <= 9
    assert f"{len(held_out)} dialogues of 1 domains; {len(kept)} to train" in note
    trained = frozenset().union(*(row_keys(row) for row in kept))
    evaluated = [row_keys(held_out[index]) for index in range(len(held_out))]
    assert trained.isdisjoint(frozenset().union(*evaluated))
    assert len(set(evaluated)) == len(evaluated)


def test_eval_data_that_is_also_trained_is_left_out_of_the_training(
    data_folder: Path, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    write_dataset(dialogues[2:4], tmp_path / "held")
    config = settings(data_folder, tmp_path, eval_data=[str(tmp_path / "held")])
    rows, shares = load_mixture(config)
    kept, held_out, note, _ = hold_out(config, rows, shares)
    assert (len(kept), held_out is not None and len(held_out)) == (6, 2)
    assert "2 rows that share an image or the text left out" in note
    with pytest.raises(ValueError, match="every row of --data shares an image or the text"):
        hold_out(settings(data_folder, tmp_path, eval_data=[str(data_folder)]), rows, shares)


def test_groups_are_chosen_within_the_share_and_at_least_one_row() -> None:
    groups = group_rows([frozenset("ab"), frozenset("c"), frozenset("bd"), frozenset("e"), frozenset("f")])
    assert sorted(map(sorted, groups)) == [[0, 2], [1], [3], [4]]
    assert len(choose_groups(groups, 0.01, seed=0)) == 1
    assert len(choose_groups(groups, 0.4, seed=0)) == 2
    with pytest.raises(ValueError, match="the smallest group that shares no image with the others has 5"):
        choose_groups([[0, 1, 2, 3, 4]], 0.5, seed=0)


def test_resume_refuses_other_held_out_dialogues(data_folder: Path, tmp_path: Path) -> None:
    train(settings(data_folder, tmp_path / "o", eval_percent=20, eval_replies=0, checkpoint_steps=1, max_steps=1))
    with pytest.raises(ValueError, match=r"--eval_data 3 dialogues \(\w+\) \(was 2 dialogues"):
        train(settings(data_folder, tmp_path / "o", eval_percent=40, eval_replies=0, max_steps=2, resume=True))


def test_checkpoints_are_evaluated_on_tasks_and_a_failure_does_not_end_the_run(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **kwargs: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        out = Path(command[command.index("--output_dir") + 1])
        if len(asked) == 2:
            return subprocess.CompletedProcess(command, 1, stderr="error: no such task")
        out.mkdir(parents=True)
        (out / "results.json").write_text(json.dumps({"tasks": {"ai2d": {"totals": {"accuracy": {"value": 50.0}}}}}))
        return subprocess.CompletedProcess(command, 0, stderr="")

    monkeypatch.setattr("training.run.task_scores.subprocess.run", run)
    final = train(settings(data_folder, tmp_path / "o", checkpoint_steps=1, eval_tasks="ai2d --limit 4"))
    assert final.is_dir()
    assert asked[0][-4:] == ["--tasks", "ai2d", "--limit", "4"]
    assert f"hf:{tmp_path / 'o' / 'checkpoints' / 'checkpoint-1'}" in asked[0]
    assert (tmp_path / "o" / "eval" / "tasks.jsonl").read_text() == '{"step": 1, "ai2d/accuracy": 50.0}\n'
    assert "not evaluated (exit code 1: error: no such task)" in caplog.text


def test_stream_leaves_out_what_is_evaluated(data_folder: Path, dialogues: list[Dialogue], tmp_path: Path) -> None:
    from training.data.mixture import load_streams

    write_dataset(dialogues[:3], tmp_path / "held")
    config = settings(
        data_folder, tmp_path, eval_data=[str(tmp_path / "held")], streaming=True, max_steps=2, shuffle_rows=2
    )
    rows, shares = load_streams(config)
    kept = hold_out(config, rows, shares).train
    seen = {next(items)["id"] for items in [kept.items(0, 0)] for _ in range(20)}
    assert seen == {dialogue.id for dialogue in dialogues[3:]}
    assert {row["id"] for row in load_rows(str(data_folder))} > seen
    assert to_row(dialogues[0])["id"] not in seen
