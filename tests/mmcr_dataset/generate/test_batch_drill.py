"""Kills, statuses and bad lines in an order drawn by a seed: the end is always the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.batch_drill import drill, results


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_batches_end_with_each_dialogue_once_and_the_servers_money(seed: int, tmp_path: Path) -> None:
    result = drill(seed, tmp_path)
    assert result.wrong == []
    assert result.num_kills > 2


@pytest.mark.slow
def test_200_interleavings_of_kills_statuses_and_bad_lines() -> None:
    wrong = {seed: result.wrong for seed, result in results(200) if result.wrong}
    assert wrong == {}
