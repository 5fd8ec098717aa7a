from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue
from tests.training.test_train import settings
from training.data.collate import Collator
from training.data.conversation import Skipped, to_dialogue
from training.data.encode import Encoder
from training.data.first_turns import truncate_row
from training.data.loss_mask import NO_LOSS
from training.data.mixture import load_mixture, load_streams, show_mixture
from training.families import load_family
from training.train import train


@pytest.fixture
def three_images(make_dialogue: Callable[..., Dialogue]) -> Dialogue:
    """Five turns, an image each in the first three."""
    return make_dialogue(num_images=3, num_turns=5, seed=4)


@pytest.mark.parametrize("family", ["ovis2", "qwen2_5_vl"])
@pytest.mark.parametrize("turns_max", [1, 2, 4])
def test_cut_dialogue_has_exactly_the_labels_of_its_first_answers(
    family: str, turns_max: int, three_images: Dialogue, tmp_path: Path, build_family: Callable[..., tuple[Any, Any]]
) -> None:
    write_dataset([three_images], tmp_path / "data")
    rows, _ = load_mixture(settings(tmp_path / "data", tmp_path, turns_max=turns_max))
    _, processor = build_family(family)
    encoder = Encoder(processor)
    whole, cut = encoder.encode(three_images), encoder.encode(to_dialogue(rows[0]))
    assert cut.input_ids_T.tolist() == whole.input_ids_T[: len(cut)].tolist()
    assert cut.labels_T.tolist() == whole.labels_T[: len(cut)].tolist()
    end = load_family(family).end_of_turn
    answers = [answer + end for answer in three_images.references[:turns_max]]
    trained = cut.labels_T[cut.labels_T != NO_LOSS]
    assert processor.tokenizer.decode(trained) == "".join(answers)
    assert len(to_dialogue(rows[0]).images) == min(3, turns_max)


def test_cut_is_told_in_the_composition_and_is_the_same_for_a_stream(
    three_images: Dialogue, make_dialogue: Callable[..., Dialogue], tmp_path: Path
) -> None:
    write_dataset([three_images, make_dialogue(num_images=1, num_turns=1)], tmp_path / "data")
    config = settings(tmp_path / "data", tmp_path, turns_max=2, max_steps=1)
    rows, shares = load_mixture(config)
    assert "the first 2 turns of each dialogue: 3 of 6 turns and 3 of 4 images" in show_mixture(shares)
    stream, shares = load_streams(settings(tmp_path / "data", tmp_path, turns_max=2, max_steps=1, streaming=True))
    assert "the first 2 turns of each dialogue" in show_mixture(shares)
    streamed = {row["id"]: row for row in itertools.islice(stream.items(0, 0), 2)}
    assert {row["id"]: row for row in rows} == streamed


@pytest.mark.parametrize("change", [{"images": []}, {"messages": None}, {"images": None}])
def test_cut_row_that_was_broken_stays_broken(change: dict[str, Any]) -> None:
    def message(role: str, *kinds: str) -> dict[str, Any]:
        return {"role": role, "content": [{"type": kind, "text": "x" if kind == "text" else None} for kind in kinds]}

    turn = [message("user", "image", "text"), message("assistant", "text")]
    row = {"id": "r", "images": [{"bytes": b"1"}, {"bytes": b"2"}], "messages": turn * 2}
    assert len(to_dialogue(truncate_row(row, 1)).images) == 1
    for broken in (row | change, row | {"images": [*row["images"], {"bytes": b"3"}]}):
        with pytest.raises(Skipped):
            to_dialogue(truncate_row(broken, 1))


def test_train_with_turns_max_trains_the_tokens_of_those_turns(data_folder: Path, tmp_path: Path) -> None:
    config = settings(data_folder, tmp_path / "out", turns_max=1, num_workers=1)
    rows, _ = load_mixture(config)
    final = train(config)
    from transformers import AutoProcessor

    facts = json.loads((final / "training.json").read_text())
    collate = Collator(Encoder(AutoProcessor.from_pretrained(final)), load_family("ovis2"))
    assert facts["run"]["trained_tokens"] == int((collate(list(rows))["labels"] != NO_LOSS).sum())
    assert facts["settings"]["turns_max"] == 1


def test_dry_run_leaves_its_numbers_for_programs(data_folder: Path, tmp_path: Path) -> None:
    changed = {"packing": False, "attention": "sdpa", "micro_batch_dialogues": 8, "global_batch_dialogues": 8}
    config = settings(data_folder, tmp_path / "out", dry_run=True, **changed)
    train(config)
    said = json.loads((tmp_path / "out" / "dry_run.json").read_text())
    assert said["data"] == [{"name": str(data_folder), "rows": 8, "taken": 8}]
    assert said["steps_an_epoch"] == 1
    assert said["looked_at"]["dialogues"] == 8
    train(settings(data_folder, tmp_path / "run"))
    facts = json.loads((tmp_path / "run" / "final" / "training.json").read_text())
    assert facts["run"]["trained_tokens"] == said["looked_at"]["trained_tokens"]
