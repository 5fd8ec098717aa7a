from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, Turn
from training.__main__ import main
from training.config import TrainConfig
from training.data.mixture import count_taken, draw_rows, load_mixture, show_mixture


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
    """Twelve dialogues with images, half of them on one topic of three, and ten of words alone."""
    with_image = [
        dataclasses.replace(make_dialogue(num_images=1 + seed % 2, seed=seed), topic=("a", "a", "b", "c")[seed % 4])
        for seed in range(12)
    ]
    words = [Dialogue(f"w{n}", (Turn((f"Question {n}?",), f"Answer {n}."),), topic="w") for n in range(10)]
    write_dataset(with_image, tmp_path / "imaged")
    write_dataset(words, tmp_path / "words")
    for empty in (tmp_path / "words" / "multi").glob("*.parquet"):
        empty.unlink()
    return str(tmp_path / "imaged"), str(tmp_path / "words")


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


@pytest.mark.parametrize("changed", [{}, {"balance_topics": True}, {"dominant_topic": "a", "dominant_percent": 60.0}])
def test_mixture_with_a_smaller_cap_is_part_of_one_with_a_larger_of_the_same_seed(
    changed: dict[str, Any], two_sets: tuple[str, str]
) -> None:
    def ids(cap: int, seed: int) -> list[str]:
        data = [two_sets[1], two_sets[0]] if not changed else [two_sets[0]]
        caps = [3, cap] if not changed else [cap]
        rows, _ = load_mixture(TrainConfig(model="m", data=data, data_caps=caps, seed=seed, **changed))
        return list(rows["id"])

    for seed in (0, 1):
        drawn = [ids(cap, seed) for cap in (1, 2, 5, 8)]
        for smaller, larger in itertools.pairwise(drawn):
            assert not Counter(smaller) - Counter(larger)
    assert ids(5, 0) != ids(5, 1)


def test_mixture_beside_another_set_draws_from_it_the_same_rows_whatever_the_cap(two_sets: tuple[str, str]) -> None:
    def words(cap: int) -> list[str]:
        caps = {"data": [two_sets[1], two_sets[0]], "data_caps": [3, cap]} if cap else {"data": [two_sets[1]]}
        rows, _ = load_mixture(TrainConfig(**({"model": "m", "data_caps": [3]} | caps)))  # type: ignore[arg-type]
        return [id_ for id_ in rows["id"] if id_.startswith("w")]

    assert words(0) == words(2) == words(7)


def test_mixture_dominated_by_a_topic_has_its_share_in_every_beginning() -> None:
    topics = ["cats"] * 30 + ["dogs"] * 40 + [None] * 30
    for count in (5, 10, 25, 40):
        drawn = [topics[row] for row in draw_rows(100, count, seed=1, topics=topics, dominant=("dogs", 80))]
        assert drawn.count("dogs") == round(0.8 * count)
    assert {topics[row] for row in draw_rows(100, 40, 1, topics, ("dogs", 100))} == {"dogs"}


def test_mixture_says_how_its_rows_spread_over_topics(two_sets: tuple[str, str]) -> None:
    config = TrainConfig(model="m", data=[two_sets[0]], data_caps=[5], dominant_topic="a", dominant_percent=60.0)
    rows, shares = load_mixture(config)
    assert len(rows) == 5
    assert "imaged: 3 topics; a 60.0%, " in show_mixture(shares)


def test_mixture_topic_file_wins_over_the_rows_own(two_sets: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "topics.jsonl"
    path.write_text(
        "".join(json.dumps({"id": f"w{n}", "topic": "even" if n % 2 == 0 else None}) + "\n" for n in range(10))
    )
    asked = {"dominant_topic": "even", "dominant_percent": 100.0, "topic_file": str(path)}
    rows, _ = load_mixture(TrainConfig(model="m", data=[two_sets[1]], data_caps=[4], **asked))  # type: ignore[arg-type]
    assert {int(id_[1:]) % 2 for id_ in rows["id"]} == {0}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"dominant_topic": "b", "dominant_percent": 50.0}, "50 % of 8 rows on 'b' are 4, and the set has 3"),
        ({"dominant_topic": "b", "dominant_percent": 50.0}, "lower --data_caps to 6"),
        ({"dominant_topic": "a", "dominant_percent": 10.0}, "lower --data_caps to 6"),
        ({"balance_topics": True, "topic_file": "nowhere"}, "--topic_file nowhere: no such file"),
        ({"balance_topics": True, "topic_file": "EMPTY"}, "no row has a topic in"),
        ({"balance_topics": True, "topic_file": "BROKEN"}, "BROKEN line 1: expected"),
    ],
)
def test_mixture_topics_that_cannot_be_had_are_refused(
    changed: dict[str, Any], said: str, two_sets: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("EMPTY").write_text("")
    Path("BROKEN").write_text('{"id": "x"}\n')
    with pytest.raises(ValueError, match=said):
        load_mixture(TrainConfig(model="m", data=[two_sets[0]], data_caps=[8], **changed))


def test_settings_command_prints_what_would_be_trained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--model", "m", "--epochs", "3"]) == 0
    assert json.loads(capsys.readouterr().out) == dataclasses.asdict(TrainConfig(model="m", epochs=3.0))
    assert main(["settings", "--model", "m", "--epoch", "3"]) == 2
    assert "Perhaps you meant: --epochs" in capsys.readouterr().err
