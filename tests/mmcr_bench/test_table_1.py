"""The numbers of Table 1 are counted from the dialogues and stand beside the paper's."""

from __future__ import annotations

from collections.abc import Callable

from mmcr_bench.table_1 import PAPER_BENCH, Size, measure_sizes, show_table_1
from mmcr_dataset.record.dialogue import Dialogue


def test_sizes_are_counted_by_kind(make_dialogue: Callable[..., Dialogue]) -> None:
    dialogues = [make_dialogue(seed=0), *(make_dialogue(count, 8, seed=1) for count in (2, 2, 3, 4))]
    sizes = measure_sizes(dialogues)
    assert sizes == {
        "single": Size(1, 1, 4, {"1": 1.0}),
        "multi": Size(4, 11, 32, {"2": 0.5, "3": 0.25, "4": 0.25}),
    }
    shown = show_table_1(sizes)
    assert "| dialogues | 1 | 400 | 4 | 200 |" in shown
    assert "| 2: 50.0 %, 3: 25.0 %, 4: 25.0 % | 2: 50.5 %, 3: 30.5 %, 4: 19.0 % |" in shown


def test_kind_without_dialogues_is_shown_empty(make_dialogue: Callable[..., Dialogue]) -> None:
    assert "| images a dialogue | 1: 100.0 % | 1: 100.0 % | - |" in show_table_1(measure_sizes([make_dialogue()]))


def test_paper_numbers_agree_with_each_other() -> None:
    for size in PAPER_BENCH.values():
        counted = sum(int(number) * share * size.num_dialogues for number, share in size.images.items())
        assert round(counted) == size.num_images
