"""Canaries: a judge that follows the rubric is fit, however noisy; one that is blind, kind or obedient is not."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mmcr_bench.judge.judge import open_judge
from mmcr_bench.judge.judgement import Judgement
from mmcr_bench.judge.rubric import NAMES
from mmcr_bench.trust.canaries import FALSE_ALARM, NoCanaries, check_judge, make_canaries
from mmcr_bench.trust.canary_replies import ORDERS, choose_dialogues
from mmcr_bench.trust.fact_changes import KINDS_SHORT, change_fact, change_turns
from mmcr_dataset.record.dialogue import Dialogue, Turn, introduce
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue
from tests.mmcr_bench.trust.test_judge_trust import careful_judge, material_of, told_dialogue, verdict

Answer = Callable[[dict[str, Any]], str]


def fitness_of(answer: Answer, tmp_path: Path) -> tuple[bool, set[str], str]:
    with FakeChatServer(answer) as server:
        judge = open_judge(f"api:{server.base_url}#m", tmp_path / "ledger")
        fitness = check_judge(judge, [told_dialogue(number) for number in range(3)])
    return fitness.is_fit, {result.name for result in fitness.results if not result.passed}, fitness.show()


def test_judge_that_follows_the_rubric_is_fit(tmp_path: Path) -> None:
    fit, failed, shown = fitness_of(careful_judge, tmp_path)
    assert failed == set(), shown
    assert fit
    assert "judge m: fit" in shown
    assert "within a dialogue 1.00 [1.00, 1.00]" in shown


def test_judge_that_likes_everything_fails_all_but_perfect_and_orders(tmp_path: Path) -> None:
    fit, failed, shown = fitness_of(lambda request: verdict(8), tmp_path)
    assert not fit
    assert failed == {"worthless", "empty", "master_key", "of_another_dialogue", "only_last_right", "shuffled"} | {
        "repeated",
        "stretched",
        "facts",
    }
    assert "UNFIT" in shown


@pytest.mark.parametrize("name", ORDERS)
def test_judge_that_obeys_one_wording_fails_that_canary(name: str, tmp_path: Path) -> None:
    def answer(request: dict[str, Any]) -> str:
        is_told = any(ORDERS[name][:30] in reply for reply in material_of(request)["R"])
        return verdict(8) if is_told else careful_judge(request)

    assert fitness_of(answer, tmp_path)[1] == {name}


def test_judge_that_repeats_the_verdict_of_a_reply_is_unfit(tmp_path: Path) -> None:
    """The verdict that it copies is read as its own."""

    def answer(request: dict[str, Any]) -> str:
        said = " ".join(material_of(request)["R"])
        return said[said.index("{") : said.index("}") + 1] if "{" in said else careful_judge(request)

    fit, failed, shown = fitness_of(answer, tmp_path)
    assert failed == {"order_note", "order_verdict"}, shown
    assert not fit


def test_judge_fooled_by_a_master_key_fails_that_canary(tmp_path: Path) -> None:
    def answer(request: dict[str, Any]) -> str:
        return verdict(9) if "Thought process:" in request["messages"][1]["content"] else careful_judge(request)

    assert "master_key" in fitness_of(answer, tmp_path)[1]


def test_judge_that_reads_the_last_turn_only_is_unfit(tmp_path: Path) -> None:
    def answer(request: dict[str, Any]) -> str:
        said = material_of(request)
        return verdict(9 if said["T"][-1] == said["R"][-1] else 2)

    assert "only_last_right" in fitness_of(answer, tmp_path)[1]


def test_judge_that_cannot_be_read_is_unfit_with_the_counts(tmp_path: Path) -> None:
    fit, failed, shown = fitness_of(lambda request: "10 of 10", tmp_path)
    assert not fit
    assert "perfect" in failed
    assert "unread verdicts: no_verdict 5" in shown


def test_canaries_need_two_dialogues_and_a_real_judge() -> None:
    with pytest.raises(NoCanaries, match="at least two"):
        make_canaries([told_dialogue(0)])
    with pytest.raises(NoCanaries, match="no rubric"):
        check_judge(open_judge("offline"), [told_dialogue(0), told_dialogue(1)])


class Simulated:
    """A judge of the six scores, with noise in each; `see` maps references and replies to what it takes off."""

    is_offline, name, names = False, "simulated", NAMES

    def __init__(self, seed: int, noise: float, see: Callable[[Sequence[str], Sequence[str]], Mapping[str, float]]):
        self.random, self.noise, self.see = random.Random(seed), noise, see

    def describe(self) -> dict[str, object]:
        return {}

    def estimate_usd(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> float | None:
        return 0.0

    def score(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> list[Judgement]:
        return [Judgement(self._judge(d.references, r)) for d, r in zip(dialogues, replies, strict=True)]

    def _judge(self, references: Sequence[str], replies: Sequence[str]) -> dict[str, float]:
        off = self.see(references, replies)
        return {
            name: float(min(10, max(1, round(8.5 - off.get(name, 0) + self.random.gauss(0, self.noise)))))
            for name in NAMES
        }


def by_the_rubric(references: Sequence[str], replies: Sequence[str]) -> dict[str, float]:
    """The faults that the rubric names: wrong turns, wrong length, repetitions."""
    num_right = sum(reply.startswith(reference) for reference, reply in zip(references, replies, strict=True))
    off = dict.fromkeys(NAMES, 7.5 * (1 - num_right / len(references)))
    ratio = len(" ".join(replies).split()) / len(" ".join(references).split())
    off["precision"] += abs(ratio - 1) > 0.2
    off["redundancy"] += len(replies) - len(set(replies))
    off["logical"] += 2 * (num_right < len(references))
    return off


def stated_dialogue(number: int) -> Dialogue:
    """A dialogue whose references state facts."""
    numbers, colours = ("Two", "Three", "Four", "Five", "Six"), ("red", "blue", "green", "white", "black", "yellow")
    thing = ("boats", "towers", "bowls", "birds", "chairs", "lamps", "doors")[number % 7]
    said = (
        f"{numbers[number % 5]} {thing} lie by the shore.",
        f"The first of the {thing} is {colours[number % 6]}.",
        f"A dog sits at the left of the {thing}.",
        f"Behind the {thing}, {number + 20} people walk.",
    )
    turns = tuple(Turn(introduce([1] if n == 0 else [], "And?"), words) for n, words in enumerate(said))
    return Dialogue(f"s{number}", turns, patchwork_dialogue("x", [patchwork(number)]).images)


STATED = [stated_dialogue(number) for number in range(20)]


@pytest.mark.parametrize("noise", [1.0, 2.0])
def test_honest_judge_is_unfit_in_at_most_two_percent_however_noisy(noise: float) -> None:
    unfit = sum(not check_judge(Simulated(seed, noise, by_the_rubric), STATED).is_fit for seed in range(15))
    assert unfit <= FALSE_ALARM * 15 + 1


@pytest.mark.parametrize(
    "see",
    [
        lambda references, replies: {},
        lambda references, replies: by_the_rubric(references[-1:], replies[-1:]),
        lambda references, replies: dict.fromkeys(NAMES, 4.0 - len(" ".join(replies)) / 100),
    ],
    ids=["blind", "last turn", "length"],
)
def test_noisy_judge_that_misses_a_fault_is_unfit(see: Any) -> None:
    assert sum(check_judge(Simulated(seed, 1.0, see), STATED).is_fit for seed in range(4)) == 0


def test_judge_blind_to_facts_is_unfit() -> None:
    def see(references: Sequence[str], replies: Sequence[str]) -> dict[str, float]:
        shared = [len(set(t.split()) & set(r.split())) / len(t.split()) for t, r in zip(references, replies)]  # noqa: B905
        is_near = [1.0 if share > 0.6 else 0.0 for share in shared]
        off = dict.fromkeys(NAMES, 7.5 * (1 - sum(is_near) / len(is_near)))
        ratio = len(" ".join(replies).split()) / len(" ".join(references).split())
        off["precision"] += abs(ratio - 1) > 0.2
        return off

    for seed in range(3):
        fitness = check_judge(Simulated(seed, 1.0, see), STATED)
        assert "facts" in {result.name for result in fitness.results if not result.passed}
        assert fitness.detection is not None
        assert fitness.detection.paired.value == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("Two boats lie there.", "number", r"(?!Two)[A-Z][a-z]+ boats lie there\."),
        ("There are 12 of them.", "number", r"There are 1[345] of them\."),
        ("A red boat, red sails.", "colour", r"A (?!red)(\w+) boat, \1 sails\."),
        ("It stands left of it.", "side", r"It stands right of it\."),
        ("Image_1 differs from Image_2.", "image", r"Image_2 differs from Image_1\."),
        ("The first of them.", "order", r"The last of them\."),
        ("Yes", "yes_no", "No"),
        ("no.", "yes_no", r"yes\."),
    ],
)
def test_fact_is_changed_and_nothing_else(text: str, kind: str, expected: str) -> None:
    changed = change_fact(text, kind, 2, random.Random(0))
    assert changed is not None
    import re

    assert re.fullmatch(expected, changed)


@pytest.mark.parametrize("kind", KINDS_SHORT)
def test_text_without_a_fact_is_not_changed(kind: str) -> None:
    assert change_fact("A calm lake under trees.", kind, 3, random.Random(0)) is None
    assert change_fact("Image_1 shows it.", "image", 1, random.Random(0)) is None


def test_changed_facts_lie_in_different_turns_and_kinds() -> None:
    made = change_turns(STATED[0], 4)
    assert len(made) == 4
    assert len({kind for kind, _, _ in made}) >= 3
    assert {turn for _, turn, _ in made} > {3} or {turn for _, turn, _ in made} <= {0, 1, 2}
    for _, turn, replies in made:
        assert [place for place in range(4) if replies[place] != STATED[0].references[place]] == [turn]


def test_canaries_are_of_the_benchs_kinds_in_its_proportion() -> None:
    single = [patchwork_dialogue(f"s{n}", [patchwork(n)]) for n in range(20)]
    multi = [patchwork_dialogue(f"m{n}", [patchwork(n), patchwork(n + 100)]) for n in range(10)]
    chosen = choose_dialogues([*multi, *single], 9)
    assert [len(one.images) for one in chosen].count(1) == 6
    assert [len(one.images) for one in chosen].count(2) == 3
    assert len({one.id for one in chosen}) == 9
    assert choose_dialogues([*multi, *single], 100) == [*multi, *single]
