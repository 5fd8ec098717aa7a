"""Whether a judge can be trusted: specs, panels, repeats, measured penalties, what they cost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmcr_bench.judge.judge import open_judge, show_cost
from mmcr_bench.judge.judge_spec import JudgeSpec, read_judge_specs
from mmcr_bench.judge.penalties import measure_penalties
from mmcr_bench.judge.rubric import DIMENSIONS
from mmcr_dataset.record.dialogue import Dialogue, Turn, introduce
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue

KEYS = [dimension.key for dimension in DIMENSIONS]


def verdict(score: int, **other: int) -> str:
    return json.dumps({"Explanation": "So."} | dict.fromkeys(KEYS, score) | other)


WORDS = (
    ("a red boat on a calm lake", "two people who fish", "some village behind dark trees", "clouds of one summer day"),
    (
        "an old clock tower",
        "pigeons along its stone roof",
        "tourists below with cameras",
        "evening light from the west",
    ),
    ("three bowls full of soup", "fresh herbs beside them", "wooden spoons", "steam over a kitchen table"),
)


def told_dialogue(number: int) -> Dialogue:
    turns = tuple(
        Turn(introduce([1] if n == 0 else [], f"What else is in image 1 of {number}?"), f"{words} ({number}).")
        for n, words in enumerate(WORDS[number])
    )
    return Dialogue(f"t{number}", turns, patchwork_dialogue("x", [patchwork(number)]).images)


def material_of(request: dict[str, Any]) -> dict[str, list[str]]:
    """References and replies as a judge reads them."""
    content = request["messages"][1]["content"]
    text = content if isinstance(content, str) else content[0]["text"]
    found: dict[str, dict[str, str]] = {"T": {}, "R": {}}
    for letter, number, line in re.findall(r"^([TR])(\d+)\|(.*)$", text, re.M):
        found[letter][number] = f"{found[letter][number]}\n{line}" if number in found[letter] else line
    return {letter: list(by_turn.values()) for letter, by_turn in found.items()}


def careful_judge(request: dict[str, Any]) -> str:
    """A scripted judge that follows the rubric: compares each reply with its reference."""
    said = material_of(request)
    shared = [len(set(t.split()) & set(r.split())) / len(t.split()) for t, r in zip(said["T"], said["R"], strict=True)]
    score = max(1, min(9, round(10 * sum(shared) / len(shared)) - 1))
    words_t, words_r = (len(" ".join(said[letter]).split()) for letter in "TR")
    stretched = abs(words_r / words_t - 1) > 0.2
    repeats = len(said["R"]) - len(set(said["R"]))
    in_order = all(share == 1 for share in shared)
    return verdict(
        score,
        Precision=max(1, score - stretched),
        Redundancy=max(1, score - repeats),
        Logical=score if in_order else max(1, score - 3),
    )


def test_spec_with_options_and_panel_is_read() -> None:
    assert read_judge_specs("offline") == []
    assert read_judge_specs("api:http://a:1/v1#m?repeats=3,api:http://b:2/v1#n?temperature=none&images=yes") == [
        JudgeSpec("http://a:1/v1", "m", repeats=3, temperature=1.0),
        JudgeSpec("http://b:2/v1", "n", temperature=None, images=True),
    ]


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("api:http://a/v1#m?repeat=3", "unknown option"),
        ("api:http://a/v1#m?repeats=many", "must be numbers"),
        ("api:http://a/v1#m?repeats=0", "repeats of 1 or more"),
        ("api:http://a/v1#m?temperature=9", "temperature 0 to 2"),
        ("api:http://a/v1#m?images=maybe", "images yes or no"),
        ("api:http://a/v1#m,api:http://b/v1", "no model is named; expected offline, or api:URL#MODEL"),
    ],
)
def test_spec_mistakes_are_named(spec: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        read_judge_specs(spec)


def test_panel_is_the_mean_over_judges_of_the_mean_over_repeats(
    tmp_path: Path, make_dialogue: Callable[..., Dialogue]
) -> None:
    def answer(request: dict[str, Any]) -> str:
        return verdict(request["seed"] + 2) if request["model"] == "strict" else verdict(9)

    with FakeChatServer(answer) as server:
        spec = f"api:{server.base_url}#strict?repeats=3,api:{server.base_url}#kind"
        judge = open_judge(spec, tmp_path / "ledger")
        (judgement,) = judge.score([make_dialogue()], [make_dialogue().references])
        again = open_judge(spec, tmp_path / "ledger").score([make_dialogue()], [make_dialogue().references])
    assert judge.name == "3 x strict + 1 x kind"
    assert judgement.scores == dict.fromkeys(judge.names, 6.0)  # (mean of 2, 3, 4 and 9)
    assert len(judgement.detail["members"]) == 4  # type: ignore[arg-type]
    assert len(server.requests) == 4
    assert {request["temperature"] for request in server.requests if request["model"] == "strict"} == {1.0}
    assert again == [judgement]


def test_panel_with_a_judge_that_says_nothing_readable_has_no_score(
    tmp_path: Path, make_dialogue: Callable[..., Dialogue]
) -> None:
    with FakeChatServer(lambda request: "no" if request["model"] == "mute" else verdict(9)) as server:
        judge = open_judge(f"api:{server.base_url}#mute,api:{server.base_url}#kind", tmp_path / "ledger")
        (judgement,) = judge.score([make_dialogue()], [make_dialogue().references])
    assert judgement.scores is None
    assert judgement.reason == "unread_by_mute"


def test_judge_with_images_gets_the_images_and_is_told_so(
    tmp_path: Path, make_dialogue: Callable[..., Dialogue]
) -> None:
    dialogue = make_dialogue(num_images=2, num_turns=8)
    with FakeChatServer(lambda request: verdict(5)) as server:
        seeing = open_judge(f"api:{server.base_url}#m?images=yes", tmp_path / "ledger")
        blind = open_judge(f"api:{server.base_url}#m", tmp_path / "ledger")
        for judge in (seeing, blind):
            judge.score([dialogue], [dialogue.references])
    system, user = server.requests[0]["messages"]
    assert "The images follow" in system["content"]
    assert [block["type"] for block in user["content"]] == ["text", "image_url", "image_url"]
    assert "You do not see the images" in server.requests[1]["messages"][0]["content"]
    assert seeing.describe()["prompt_sha256"] != blind.describe()["prompt_sha256"]


def test_penalties_are_measured_on_the_whole_dialogue() -> None:
    references = ["one two three four five"] * 2
    assert not measure_penalties(references, ["one two three four five six"] * 2).length_due  # exactly 20 %
    assert measure_penalties(references, ["one two three four five six seven"] * 2).length_due
    assert measure_penalties(references, ["one two three"] * 2).length_due
    repeated = measure_penalties(
        references, ["There is a boat here. Yes.", "Yes. There is a boat here! There is a boat here."]
    )
    assert repeated.num_repeats == 2
    assert measure_penalties(references, ["", ""]).length_ratio == 0.0


def test_judgement_keeps_the_measured_penalties(tmp_path: Path, make_dialogue: Callable[..., Dialogue]) -> None:
    dialogue = make_dialogue()
    with FakeChatServer(lambda request: verdict(5)) as server:
        (judgement,) = open_judge(f"api:{server.base_url}#m", tmp_path / "ledger").score([dialogue], [["no"] * 4])
    penalties = judgement.detail["penalties"]
    assert isinstance(penalties, dict)
    assert penalties["length_due"] is True


def test_cost_is_estimated_before_it_is_paid(tmp_path: Path) -> None:
    dialogues = [told_dialogue(number % 3) for number in range(10)]
    replies = [dialogue.references for dialogue in dialogues]

    def estimate(spec: str) -> float | None:
        return open_judge(spec, tmp_path / "ledger").estimate_usd(dialogues, replies)

    known = "api:http://127.0.0.1:9/v1#gpt-4o-2024-08-06"
    single = estimate(known)
    assert single is not None
    assert 0.05 < single < 0.3  # about 1,200 tokens in and 600 out, each
    assert estimate(f"{known}?repeats=3") == pytest.approx(3 * single)
    assert estimate(f"{known},api:http://127.0.0.1:9/v1#mystery") is None
    assert estimate("offline") == 0.0
    told = show_cost(open_judge(known, tmp_path / "ledger"), dialogues, replies, times=8)
    assert told.startswith(f"about {8 * single:.2f} USD for 80 dialogues judged by gpt-4o-2024-08-06")
    assert show_cost(open_judge("offline"), dialogues, replies) == ""
