from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from mmcr_dataset.record.load import load_rows
from mmcr_dataset.record.row import to_row
from tests.training.test_train import settings
from training.data.collate import REAL_TOKENS, SKIPPED, Collator
from training.data.encode import Encoder
from training.data.lengths import Length, Measurer
from training.data.loss_mask import NO_LOSS
from training.data.packing import rope_of
from training.data.row_order import ShuffledRows
from training.data.step_loader import StepLoader, plan_steps
from training.data.steps import StepPlan, split_by_tokens, split_evenly
from training.families import family_names, load_family
from training.ovis2.tiling import with_original_tiling


def by_tokens(lengths: Sequence[Any], num_processes: int) -> list[list[int]]:
    return split_by_tokens(lengths, num_processes, bin_tokens=100, dummy_tokens=9)


def three_at_once(lengths: Sequence[Any], num_processes: int) -> list[list[int]]:
    return split_evenly(lengths, num_processes, micro_batch_size=3)


def lengths_of(items: Any) -> Any:
    return ((item, Length(10 + item % 70, True)) for item in items)


@pytest.mark.parametrize("packed", [False, True])
def test_plan_every_dialogue_once_an_epoch_in_steps_of_the_global_batch(packed: bool) -> None:
    order = ShuffledRows(103, seed=5)
    plan = StepPlan(order, 20, by_tokens, lengths_of) if packed else StepPlan(order, 20, three_at_once)
    steps = list(plan.steps())
    assert len(steps) == plan.num_steps == 6
    assert sorted(row for step in steps for batch in step for row in batch) == list(range(103))
    assert [sum(map(len, step)) for step in steps] == [20, 20, 20, 20, 20, 3]


def test_plan_same_seed_same_order_other_epoch_other_order() -> None:
    first, second = (StepPlan(ShuffledRows(50, seed=1), 8, three_at_once) for _ in range(2))
    assert list(first) == list(second)
    second.seek(7)  # of an epoch of seven steps
    assert list(first) != list(second)
    assert list(first) != list(StepPlan(ShuffledRows(50, seed=2), 8, three_at_once))


def test_plan_that_begins_inside_the_second_epoch_has_the_steps_that_are_left() -> None:
    whole, later = (StepPlan(ShuffledRows(50, seed=1), 8, by_tokens, lengths_of) for _ in range(2))
    whole.seek(7)
    later.seek(7 + 3)
    assert list(later.steps()) == list(whole.steps())[3:]


def test_plan_steps_hold_the_same_dialogues_on_any_number_of_processes() -> None:
    def steps(num_processes: int) -> list[set[int]]:
        plans = [
            StepPlan(ShuffledRows(60, seed=3), 16, by_tokens, lengths_of, num_processes, index)
            for index in range(num_processes)
        ]
        batches = [list(plan) for plan in plans]
        assert len({tuple(plan.counts) for plan in plans}) == 1, "a process would wait for the others for ever"
        rows: list[set[int]] = []
        begin = 0
        for count in plans[0].counts:
            rows.append({row for own in batches for batch in own[begin : begin + count] for row in batch})
            begin += count
        return rows

    assert steps(1) == steps(2) == steps(8)


def test_cut_by_tokens_fills_no_bin_above_its_limit_on_any_number_of_processes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        lengths = [Length(int(n), bool(rng.integers(0, 2))) for n in rng.integers(0, 101, rng.integers(1, 30))]
        num_processes = int(rng.integers(1, 9))
        bins = by_tokens(lengths, num_processes)
        assert len(bins) % num_processes == 0
        assert sorted(index for one in bins for index in one) == list(range(len(lengths)))
        for one in bins:
            blank = 0 if any(lengths[index].has_images for index in one) else 9
            tokens = sum(lengths[index].tokens for index in one)
            assert tokens + blank <= 100 or (len(one) == 1 and 91 < tokens <= 100)  # refused by the collator


def test_cut_by_tokens_gives_every_process_work_where_there_is_enough() -> None:
    bins = by_tokens([Length(30, True)] * 9, num_processes=4)  # three bins would hold them
    assert sorted(map(len, bins)) == [2, 2, 2, 3]


def odd_images(rng: np.random.Generator, count: int) -> Dialogue:
    """Images of any shape, some of them turned by their EXIF tag."""
    turns, images = [], []
    for number in range(1, count + 1):
        exif = Image.Exif()
        exif[0x0112] = int(rng.integers(1, 9))
        file = io.BytesIO()
        size = tuple(int(side) for side in np.exp(rng.uniform(2.3, 6.5, 2)))
        Image.new("RGB", size, (200, 90, 30)).save(file, "JPEG", exif=exif)
        images.append(DialogueImage(file.getvalue()))
        turns.append(Turn(introduce([number], f"What is number {number}?"), f"Answer {number}."))
    return Dialogue("odd", tuple(turns), tuple(images))


@pytest.mark.parametrize("formula", [True, False])
@pytest.mark.parametrize("name", [*family_names(), "ovis2 original", "ovis2 original, more tiles"])
def test_measure_is_the_encoded_length_to_the_token(
    name: str, formula: bool, build_family: Callable[..., tuple[Any, Any]]
) -> None:
    import dataclasses

    family = load_family(name.split()[0])
    _, processor = build_family(family.model_type)
    if "original" in name:
        processor = with_original_tiling(processor, 9, 4 if "more" in name else 1)
    encoder = Encoder(processor)
    measurer = Measurer(encoder, family if formula else dataclasses.replace(family, count_image_tokens=None))
    rng = np.random.default_rng(0)
    for number in range(30):
        dialogue = odd_images(rng, number % 3) if number % 3 else odd_images(rng, 1)
        assert measurer.measure(to_row(dialogue)) == (len(encoder.encode(dialogue)), True)


def test_measure_of_a_row_that_cannot_be_trained_is_nothing(
    build_family: Callable[..., tuple[Any, Any]], make_dialogue: Callable[..., Dialogue]
) -> None:
    _, processor = build_family("ovis2")
    measurer = Measurer(Encoder(processor, max_length_tokens=20), load_family("ovis2"))
    too_long = to_row(make_dialogue(seed=1))
    broken = to_row(Dialogue("x", (Turn(introduce([1], "Q?"), "A."),), (DialogueImage(b"no image"),)))
    for row in (too_long, broken, {"id": "no columns"}):
        assert measurer.measure(row).tokens == 0


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loader_holds_the_limit_and_skips_what_is_longer_than_a_bin(
    num_workers: int, build_family: Callable[..., tuple[Any, Any]], data_folder: Path, tmp_path: Path
) -> None:
    """The longest of the eight dialogues doesn't fit: it alone is left out, by name."""
    family = load_family("qwen2_5_vl")
    model, processor = build_family("qwen2_5_vl")
    rows = load_rows(str(data_folder))
    lengths = {row["id"]: Measurer(Encoder(processor), family).measure(row).tokens for row in rows}
    limit = max(lengths.values()) - 1
    config = settings(
        data_folder, tmp_path, bin_tokens=limit, num_workers=num_workers, global_batch_dialogues=5, seed=3
    )
    collator = Collator(
        Encoder(processor, config.length_limit_tokens), family, True, rope_of(model),
        bin_tokens=limit,
    )  # fmt: skip
    plan = plan_steps(config, rows, collator)
    steps = [list(step.batches) for step in StepLoader(plan, rows, collator, num_workers, pin=False)]
    batches = [batch for step in steps for batch in step]
    assert len(steps) == 2
    assert all(batch["input_ids"].numel() <= limit for batch in batches)
    assert [why for batch in batches for _, why, _ in batch[SKIPPED]] == ["too_long"]
    assert sum(batch[REAL_TOKENS] for batch in batches) == sum(lengths.values()) - max(lengths.values())


def test_collator_adds_a_blank_image_to_text_alone_and_keeps_room_for_it(
    build_family: Callable[..., tuple[Any, Any]],
) -> None:
    _, processor = build_family("ovis2")
    words = Dialogue("t", (Turn(("Only words?",), "Yes."),))
    length = len(Encoder(processor).encode(words))
    collator = Collator(Encoder(processor), load_family("ovis2"), packing=True)
    batch, empty = collator([to_row(words)]), collator([])
    assert batch["input_ids"].shape[1] == length + len(collator.dummy)
    assert batch["pixel_values"].shape == empty["pixel_values"].shape == (1, 3, 56, 56)
    assert (batch["labels"] != NO_LOSS).sum() > 0
    assert (empty["labels"] != NO_LOSS).sum() == 0
    full = Collator(Encoder(processor), load_family("ovis2"), packing=True, bin_tokens=length + len(collator.dummy) - 1)
    assert [why for _, why, _ in full([to_row(words)])[SKIPPED]] == ["no_room"]


def test_collator_leaves_out_by_name_what_was_measured_too_short(
    build_family: Callable[..., tuple[Any, Any]], make_dialogue: Callable[..., Dialogue]
) -> None:
    _, processor = build_family("ovis2")
    rows = [to_row(make_dialogue(seed=seed)) for seed in (1, 2)]
    room = len(Encoder(processor).encode(make_dialogue(seed=1))) + 1
    batch = Collator(Encoder(processor), load_family("ovis2"), packing=True, bin_tokens=room)(rows)
    assert batch["input_ids"].numel() == room - 1
    assert [why for _, why, _ in batch[SKIPPED]] == ["no_room"]
