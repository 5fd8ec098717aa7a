from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from tests.training.test_train import read_log, settings
from training.data.mixture import load_streams
from training.train import train


@pytest.fixture
def words_folder(tmp_path: Path) -> Path:
    """Forty dialogues of words alone, and one with an image that doesn't decode."""
    words = [Dialogue(f"words{n}", (Turn((f"Only words, {n}?",), "Only words."),)) for n in range(40)]
    broken = Dialogue("broken", (Turn(introduce([1], "Q?"), "A."),), (DialogueImage(b"no image"),))
    write_dataset([*words, broken], tmp_path / "words")
    return tmp_path / "words"


def streamed(folder: Path, out: Path, **changed: Any) -> Any:
    return settings(folder, out, **({"streaming": True, "max_steps": 5, "shuffle_rows": 5} | changed))


def test_stream_gives_every_row_once_a_pass_and_each_pass_in_another_order(data_folder: Path, tmp_path: Path) -> None:
    stream, _ = load_streams(streamed(data_folder, tmp_path))
    ids = [row["id"] for row in itertools.islice(stream.items(0, 0), 16)]
    assert len(set(ids[:8])) == len(set(ids[8:])) == 8
    assert ids[:8] != ids[8:]
    assert [row["id"] for row in itertools.islice(stream.items(0, 11), 5)] == ids[11:]


def test_streams_are_drawn_by_their_weights(data_folder: Path, words_folder: Path, tmp_path: Path) -> None:
    config = streamed(
        data_folder, tmp_path, data=[str(data_folder), str(words_folder)], data_weights=[3.0, 1.0], data_caps=[4, 0]
    )
    stream, shares = load_streams(config)
    drawn = Counter(row["id"] for row in itertools.islice(stream.items(0, 0), 400))
    words = sum(count for name, count in drawn.items() if name.startswith(("words", "broken")))
    assert 70 < words < 130
    assert len(drawn) - 41 == 4  # the cap
    assert [(share.num_rows, share.num_taken) for share in shares] == [(None, 15), (None, 5)]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_streamed_run_resumed_is_the_run_that_never_stopped_and_names_bad_rows(
    num_workers: int, words_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Twelve steps of eight: more than two passes, so the bad row comes up at least twice."""
    whole = {"global_batch_dialogues": 8, "max_steps": 12}
    train(streamed(words_folder, tmp_path / "whole", **whole))
    assert "skipped row 'broken': not_an_image" in caplog.text
    cut = whole | {"num_workers": num_workers, "checkpoint_steps": 7}
    train(streamed(words_folder, tmp_path / "cut", **(cut | {"max_steps": 7})))
    train(streamed(words_folder, tmp_path / "cut", **cut, resume=True))
    first, second = read_log(tmp_path / "whole"), read_log(tmp_path / "cut")
    for key in ("step", "loss", "trained_tokens", "real_tokens"):
        assert [line[key] for line in first] == [line[key] for line in second]


def test_stream_without_a_row_is_refused(data_folder: Path, tmp_path: Path) -> None:
    stream, _ = load_streams(streamed(data_folder, tmp_path))
    empty = type(stream)([stream.sets[0].take(0)], [1.0])
    with pytest.raises(ValueError, match="stream number 1 has no row"):
        next(empty.items(0, 0))


def test_streamed_dry_run_says_what_would_be_trained(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(streamed(data_folder, tmp_path / "o", dry_run=True))
    said = capsys.readouterr().out
    assert "a stream of dialogues: 4 dialogues a step" in said
    assert "nothing was trained" in said
