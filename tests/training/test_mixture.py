from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.schema import Dialogue, Turn
from training.config import TrainConfig
from training.mixture import count_taken, draw_rows, load_mixture, show_mixture


def test_count_taken_weights_caps_and_temperature() -> None:
    assert count_taken([100, 40], [1, 0.5], [0, 0], 1) == [100, 20]
    assert count_taken([100, 40], [1, 2], [30, 0], 1) == [30, 80]
    assert count_taken([900, 100], [1, 1], [0, 0], 2) == [750, 250]
    assert count_taken([900, 100], [1, 0], [0, 0], 2) == [900, 0]


def test_draw_rows_more_than_there_are_repeats_all_before_any_again() -> None:
    counts = Counter(draw_rows(10, 25, seed=1))
    assert sorted(counts) == list(range(10))
    assert set(counts.values()) == {2, 3}
    assert draw_rows(10, 4, seed=1) == draw_rows(10, 4, seed=1) != draw_rows(10, 4, seed=2)


def test_draw_rows_by_topic_takes_topics_in_turn() -> None:
    topics = ["cats"] * 90 + ["dogs"] * 6 + [None] * 4
    drawn = Counter(topics[row] for row in draw_rows(100, 14, seed=3, topics=topics))
    assert drawn == {"cats": 5, "dogs": 5, None: 4}


@pytest.fixture
def two_sets(tmp_path: Path, make_dialogue: Callable[..., Dialogue]) -> tuple[str, str]:
    """Twelve dialogues with pictures, half of them on one topic of three, and ten of words alone."""
    pictured = [
        dataclasses.replace(make_dialogue(num_pictures=1 + seed % 2, seed=seed), topic=("a", "a", "b", "c")[seed % 4])
        for seed in range(12)
    ]
    words = [Dialogue(f"w{n}", (Turn((f"Question {n}?",), f"Answer {n}."),), topic="w") for n in range(10)]
    write_dataset(pictured, tmp_path / "pictured")
    write_dataset(words, tmp_path / "words")
    for empty in (tmp_path / "words" / "multi").glob("*.parquet"):
        empty.unlink()
    return str(tmp_path / "pictured"), str(tmp_path / "words")


def test_load_mixture_takes_rows_of_both_sets_and_says_so(two_sets: tuple[str, str]) -> None:
    config = TrainConfig(model="m", data=list(two_sets), data_weights=[2.0, 1.0], data_caps=[0, 4])
    rows, shares = load_mixture(config)
    assert [(share.num_rows, share.num_taken) for share in shares] == [(12, 24), (10, 4)]
    assert len(rows) == 28
    assert sum(not row["images"] for row in rows) == 4
    assert "24   85.7%" in show_mixture(shares)


def test_load_mixture_missing_set_is_named(two_sets: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        load_mixture(TrainConfig(model="m", data=[two_sets[0], "nowhere"]))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data_weights": [1.0]}, "1 weights for 2 data sets"),
        ({"data_caps": [1, 2, 3]}, "3 caps for 2 data sets"),
        ({"data_weights": [1.0, -1.0]}, "expected 0 or more"),
        ({"data_temperature": 0.0}, "expected a number above 0"),
    ],
)
def test_mixture_settings_that_do_not_fit_the_sets(changed: dict[str, list[float]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainConfig(model="m", data=["a", "b"], **changed)  # type: ignore[arg-type]


def test_train_on_a_mixture_with_text_alone(two_sets: tuple[str, str], tmp_path: Path) -> None:
    from tests.training.test_train import read_log, settings
    from training.train import train

    out = tmp_path / "out"
    train(settings(Path(two_sets[0]), out, data=list(two_sets), data_caps=[4, 4], balance_topics=True))
    assert len(read_log(out)) == 2
    assert (out / "mixture.png").read_bytes().startswith(b"\x89PNG")
