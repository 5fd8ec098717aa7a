from __future__ import annotations

from collections.abc import Callable

import pytest

from mmcr_dataset.published_row import to_row
from mmcr_dataset.schema import Dialogue
from training.encode import Encoder
from training.families import family_names
from training.measure import Measurer
from training.steps import StepPlan


@pytest.mark.parametrize("measured", [False, True])
def test_plan_every_dialogue_once_an_epoch_in_steps_of_the_global_batch(measured: bool) -> None:
    plan = StepPlan(103, 20, 4, seed=5, measure=(lambda row: 10 + row % 7) if measured else None)
    batches = list(plan)
    assert len(batches) == len(plan) == 6 * 4
    assert sorted(row for batch in batches for row in batch) == list(range(103))
    steps = [sum(len(batch) for batch in batches[i : i + 4]) for i in range(0, 24, 4)]
    assert steps == [20, 20, 20, 20, 20, 3]


def test_plan_same_seed_same_order_other_epoch_other_order() -> None:
    first, second = StepPlan(50, 8, 2, seed=1), StepPlan(50, 8, 2, seed=1)
    assert list(first) == list(second)
    second.set_epoch(1)
    assert list(first) != list(second)
    assert list(first) != list(StepPlan(50, 8, 2, seed=2))


def test_plan_steps_hold_the_same_dialogues_on_any_number_of_processes() -> None:
    def steps(micro_batches: int) -> list[set[int]]:
        batches = list(StepPlan(60, 16, micro_batches, seed=3, measure=lambda row: row + 1))
        count = len(batches) // micro_batches
        return [{r for b in batches[s * micro_batches : (s + 1) * micro_batches] for r in b} for s in range(count)]

    assert steps(2) == steps(4) == steps(8)


@pytest.mark.parametrize("family", family_names())
def test_measure_is_within_a_tenth_of_the_encoded_length(
    family: str, build_family: Callable[..., tuple], make_dialogue: Callable[..., Dialogue]
) -> None:
    _, processor = build_family(family)
    for num_pictures in (1, 2, 3):
        dialogue = make_dialogue(num_pictures=num_pictures, num_turns=4, seed=num_pictures)
        exact = len(Encoder(processor).encode(dialogue))
        assert Measurer(Encoder(processor)).measure(to_row(dialogue)) == pytest.approx(exact, rel=0.1)
