"""MMCR-Exact: simulated models get what a theorem says, every question counts, errors are told apart."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from eval_tasks.__main__ import main
from eval_tasks.exact.totals import best_guess
from eval_tasks.task import Failure, Sample, Scored, Task
from eval_tasks.totals import interval_of
from mmcr_bench.exact.build import build_exact
from mmcr_bench.exact.exact_set import read_exact
from mmcr_bench.exact.settings import ExactSettings
from mmcr_bench.exact.tellings import SHORT
from tests.eval_tasks.exact.conftest import RULES, answered, images_until, reference, values

WORDS = "red green blue yellow circle square cross 0 1 2 3 yes no Image_1 Image_2".split()


def test_a_perfect_model_gets_100_everywhere_and_loses_nothing(task: Task, exact_samples: list[Sample]) -> None:
    found = values(task, exact_samples, reference)
    assert next(iter(found)) == "accuracy"
    costs = {name for name in found if name.startswith(("cost_of_", "errors_"))}
    assert {name: found[name] for name in costs} == dict.fromkeys(costs, 0.0)
    assert {name: found[name] for name in found.keys() - costs} == dict.fromkeys(found.keys() - costs, 100.0)
    assert {"pair_history", "pair_image", "above_guess", "needs_own", "hops_1", "distance_1"} <= found.keys()
    assert len(costs) == 8


@pytest.mark.parametrize("seed", range(5))
def test_without_history_exactly_no_history_pair_is_right(task: Task, exact_samples: list[Sample], seed: int) -> None:
    def no_history(sample: Sample, turn: int, history: Sequence[str]) -> str:
        return random.Random(repr((seed, sample.dialogue.turns[turn].human, images_until(sample, turn)))).choice(WORDS)

    found = values(task, exact_samples, no_history)
    assert (found["pair_history"], found["pair_history_replies_differ"]) == (0.0, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_without_images_exactly_no_image_pair_is_right(task: Task, exact_samples: list[Sample], seed: int) -> None:
    def no_images(sample: Sample, turn: int, history: Sequence[str]) -> str:
        said = [one.human_text for one in sample.dialogue.turns[: turn + 1]]
        return random.Random(repr((seed, said, history))).choice(WORDS)

    found = values(task, exact_samples, no_images)
    assert (found["pair_image"], found["pair_image_replies_differ"]) == (0.0, 0.0)


@pytest.mark.parametrize("blind_to", ["history", "image"])
def test_knowing_one_half_of_every_pair_is_worth_nothing(
    task: Task, exact_samples: list[Sample], blind_to: str
) -> None:
    """The strongest such models: they know the right last answer of the linked half of every pair."""

    def key(sample: Sample, turn: int, history: Sequence[str]) -> object:
        turns = sample.dialogue.turns[: turn + 1]
        if blind_to == "history":
            return repr((turns[-1].human, images_until(sample, turn)))
        return repr(([one.human_text for one in turns], list(history)))

    def last(sample: Sample) -> tuple[Sample, int, Sequence[str]]:
        turn = len(sample.dialogue.turns) - 1
        return sample, turn, sample.dialogue.references[:turn]

    known = {key(*last(one)): one.dialogue.references[-1] for one in exact_samples if one.target["kind"] == "true"}
    found = values(task, exact_samples, lambda *asked: known.get(key(*asked), "unknown"))
    assert found["last_true_history"] > 90
    assert found[f"pair_{blind_to}"] == 0.0


def test_errors_are_carried_fresh_or_unread_and_add_up(task: Task, exact_samples: list[Sample]) -> None:
    def answer(sample: Sample, turn: int, history: Sequence[str]) -> str:
        return random.Random(repr((sample.dialogue.id, turn))).choice([*WORDS, *[reference(sample, turn, history)] * 9])

    found = values(task, exact_samples, answer)
    kinds = [found[f"errors_{kind}"] for kind in ("carried", "fresh", "unread")]
    assert found["accuracy"] + sum(kinds) == pytest.approx(100)
    assert min(kinds[1:]) > 0


def test_a_carried_error_is_the_answer_that_follows_from_an_own_wrong_one(
    task: Task, exact_samples: list[Sample]
) -> None:
    sample, turn = next(
        (one, turn)
        for one in exact_samples
        for turn, asked in enumerate(one.target["turns"])
        if one.target["kind"] == "own" and asked["op"] == "recall" and asked["type"] == "number"
    )
    target = sample.target["turns"][turn]["program"][1]
    wrong = str(int(sample.dialogue.references[target]) + 1)

    def replies(last: str) -> tuple[str, ...]:
        said = list(sample.dialogue.references)
        said[target], said[turn] = wrong, last
        return tuple(said)

    name = f"follows {turn + 1}"
    for last, follows, right in ((wrong, 1.0, 0.0), (sample.dialogue.references[turn], 0.0, 1.0)):
        points = task.score(sample, replies(last), RULES, None)
        assert (points[name], points[f"turn {turn + 1}"]) == (follows, right)
    assert task.score(sample, replies("no idea"), RULES, None)[f"turn {turn + 1}"] is None
    unread = tuple("no idea" if place == target else said for place, said in enumerate(replies(wrong)))
    assert name not in task.score(sample, unread, RULES, None), "nothing follows from an unread answer"


def test_above_guess_is_what_the_guesses_leave_open(task: Task, exact_samples: list[Sample]) -> None:
    found = values(task, exact_samples, lambda *_: "hmm")
    asked = [one for sample in exact_samples if sample.target["kind"] == "own" for one in sample.target["turns"]]
    guesses = [best_guess(one) for one in asked]
    expected = [-guess / (1 - guess) for guess in guesses if guess is not None and guess < 1]
    assert len(expected) > 0.9 * len(asked)
    assert found["above_guess"] == pytest.approx(100 * sum(expected) / len(expected))


def test_an_unanswered_question_counts_as_wrong(task: Task, exact_samples: list[Sample]) -> None:
    own = [one for one in exact_samples if one.target["kind"] == "own"]
    scored = [task.scored(answered(one, reference), RULES) for one in own[1:]]
    num_turns = len(own[0].dialogue.turns)
    assert num_turns > 2
    failed = Scored(own[0], own[0].dialogue.references[:2], failure=Failure("timeout", "turn 3"))
    total = task.totals([failed, *scored], RULES)["accuracy"]
    assert len(total.units) == sum(len(one.dialogue.turns) for one in own)
    assert sum(unit.points for unit in total.units) == len(total.units) - (num_turns - 2)
    found = task.totals([failed, *scored], RULES)
    assert found["errors_unanswered"].value == pytest.approx(100 - found["accuracy"].value)
    assert found["errors_unread"].value == 0.0


def test_a_failure_is_no_cost_of_context(task: Task, exact_samples: list[Sample]) -> None:
    scored = [
        Scored(one, (), failure=Failure("timeout", "turn 1"))
        if one.target["kind"] == "own" and number % 3 == 0
        else task.scored(answered(one, reference), RULES)
        for number, one in enumerate(exact_samples)
    ]
    found = task.totals(scored, RULES)
    assert found["accuracy"].value < 100
    assert found["cost_of_context"].value == 0.0
    worse = [
        task.scored(answered(one.sample, lambda *_: "red"), RULES)
        if one.sample.target["kind"] == "own" and not one.failure
        else one
        for one in scored
    ]
    said = [
        one.sample.dialogue.references[-1] for one in worse if one.sample.target["kind"] == "own" and not one.failure
    ]
    cost = task.totals(worse, RULES)["cost_of_context"]
    assert cost.value == pytest.approx(100 * sum(one != "red" for one in said) / len(said))
    assert len(cost.units) == 24 > len(said)
    assert len({unit.group for unit in cost.units}) == 24


def test_runs_that_fail_and_err_differently_can_be_compared(
    exact_folder: Path, exact_samples: list[Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs: list[str] = []
    answers: dict[tuple[str, str], list[str]] = {}  # of each domain and type
    for one in exact_samples:
        for turn, asked in zip(one.dialogue.turns, one.target["turns"], strict=True):
            answers.setdefault((one.target["domain"], asked["type"]), []).append(turn.assistant)
    for seed in range(2):
        rng = random.Random(seed)
        said = {
            one.dialogue.id: [
                rng.choice([reference, reference, rng.choice(answers[one.target["domain"], asked["type"]])])
                for reference, asked in zip(one.dialogue.references, one.target["turns"], strict=True)
            ]
            for one in exact_samples
            if not one.num_given_turns
        }
        (tmp_path / f"{seed}.json").write_text(json.dumps({**said, "*": "$reference"}))
        runs.append(str(tmp_path / f"run{seed}"))
        argv = ["--model", f"scripted:{tmp_path}/{seed}.json", "--tasks", "mmcr_exact", "--data", str(exact_folder)]
        assert main([*argv, "--output_dir", runs[-1]]) == 0
    capsys.readouterr()
    assert main(["compare", *runs]) == 0
    said_of = capsys.readouterr().out
    for metric in ("accuracy", "follows_own_errors", "cost_of_context", "pair_history"):
        assert f"| mmcr_exact | {metric} |" in said_of


def test_samples_of_a_dialogue_stand_together_and_share_its_cluster(exact_samples: list[Sample]) -> None:
    kinds = Counter(one.target["kind"] for one in exact_samples)
    assert kinds["own"] == kinds["true"] == kinds["resolved"] == kinds["alone"] == 24
    assert 12 < kinds["history"] <= 24
    assert 8 < kinds["image"] <= 24
    assert len({one.dialogue.id for one in exact_samples}) == len(exact_samples)
    changes = sum(a.group != b.group for a, b in itertools.pairwise(exact_samples))
    assert changes == 23
    assert [one.target["kind"] for one in exact_samples[:2]] == ["own", "true"]
    for one in exact_samples:
        expected = 0 if one.target["kind"] in ("own", "resolved", "alone") else len(one.dialogue.turns) - 1
        assert one.num_given_turns == expected


def test_intervals_cluster_by_dialogue(task: Task, exact_samples: list[Sample]) -> None:
    scored = [task.scored(answered(one, lambda *_: "red"), RULES) for one in exact_samples]
    total = task.totals(scored, RULES)["accuracy"]
    assert {unit.group for unit in total.units} == {one.group for one in exact_samples}
    assert total.value > 0


def test_no_interval_leaves_the_scale(task: Task, exact_samples: list[Sample]) -> None:
    def answer(sample: Sample, turn: int, history: Sequence[str]) -> str:
        said = reference(sample, turn, history)
        is_wrong = random.Random(repr((sample.dialogue.id, turn))).random() < 0.3
        return {"red": "blue", "blue": "red", "0": "1", "1": "2", "2": "1"}.get(said, said) if is_wrong else said

    scored = [task.scored(answered(one, answer), RULES) for one in exact_samples]
    totals = task.totals(scored, RULES)
    assert "follows_own_errors" in totals
    for name, total in totals.items():
        interval = interval_of(total)
        assert {unit.group for unit in total.units} <= {one.group for one in exact_samples}
        if interval.high < float("inf") and not name.startswith(("cost_of_", "above_")):
            assert 0 <= interval.low <= interval.high <= 100.000001, name
        assert interval.high <= 100.000001 or interval.high == float("inf"), name
    for name in ("follows_own_errors", "cost_of_context"):
        assert {unit.group for unit in totals[name].units} == {one.group for one in exact_samples}


def test_the_first_question_of_a_row_asks_for_short_answers_and_is_asked_as_it_is(
    task: Task, exact_folder: Path
) -> None:
    items = {item.dialogue.id: item.dialogue for item in read_exact(exact_folder)}
    for sample in task.samples(str(exact_folder), RULES):
        turns = [turn.human for turn in sample.dialogue.turns]
        assert turns == [turn.human for turn in items[sample.dialogue.id.removesuffix("-true")].turns]
        asks = [SHORT in turn.human_text for turn in sample.dialogue.turns]
        assert asks == [True] + [False] * (len(turns) - 1)


def test_a_set_of_single_questions_is_measured_too(task: Task, tmp_path: Path) -> None:
    build_exact(tmp_path / "single", ExactSettings(num_dialogues=3, style="plain", telling="single", guesses="none"))
    samples = list(task.samples(str(tmp_path / "single"), RULES))
    assert len(samples) > 6
    found = task.totals([task.scored(answered(one, reference), RULES) for one in samples], RULES)
    assert found["alone_accuracy"].value == 100.0
    assert len(found["alone_accuracy"].units) == len(samples)
    assert "accuracy" not in found


def test_a_missing_folder_is_one_line_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.json").write_text('{"*": "$reference"}')
    assert main(["--model", "scripted:model.json", "--tasks", "mmcr_exact", "--output_dir", "run"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "python -m mmcr_bench exact build --public --output_dir mmcr-exact" in said[0]


def test_the_task_runs_without_further_flags_in_the_folder_of_the_set(
    exact_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(exact_folder.parent)
    (tmp_path / "model.json").write_text('{"*": "$reference"}')
    run = tmp_path / "run"
    assert main(["--model", f"scripted:{tmp_path}/model.json", "--tasks", "mmcr_exact", "--output_dir", str(run)]) == 0
    entry = json.loads((run / "results.json").read_text())["tasks"]["mmcr_exact"]
    assert entry["totals"]["accuracy"]["value"] == 100.0
    assert entry["num_groups"] == 24
    assert entry["num_unread"] == 0
