"""MM-MT-Bench and one's own dialogues."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.__main__ import main
from eval_tasks.task import Failure, Sample, Scored
from eval_tasks.tasks import dialogues, mm_mt_bench, multiverse, vischainbench
from mmcr_dataset.record.dialogue import Dialogue, Turn
from tests.conftest import image_bytes
from tests.fake_chat_server import FakeChatServer

Write = Callable[..., str]
FIRST = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}
SAID = [FIRST, {"role": "assistant", "content": "A cat."}]
SAID += [{"role": "user", "content": "Is it black?"}, {"role": "assistant", "content": "Yes."}]


def row(messages: list[dict[str, Any]] = SAID) -> dict[str, Any]:
    return {"image": image_bytes(0), "conversation": json.dumps(messages), "category": "photos"}


def test_each_answer_is_asked_after_the_true_ones_before_it() -> None:
    first, second = mm_mt_bench.to_samples(row(), 3)
    assert first.dialogue.turns[0].human == (1, "What is it?")
    assert (first.num_given_turns, second.num_given_turns) == (0, 1)
    assert second.dialogue.turns[0].assistant == "A cat."
    assert first.group == second.group == "3"


@pytest.mark.parametrize(
    ("broken", "part"),
    [
        (row(SAID[:1]), "user and assistant in turn"),
        (row([]), "found nothing"),
        (row([{"role": "user", "content": [{"type": "audio"}]}, SAID[1]]), "type audio"),
        ({"conversation": "[]"}, "no 'category'; the row has"),
        ({**row(), "conversation": "{"}, "not JSON"),
    ],
)
def test_a_broken_row_is_named(broken: dict[str, Any], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        list(mm_mt_bench.to_samples(broken, 3))


@pytest.mark.parametrize(
    ("verdict", "points"),
    [
        ("Good. Rating: [[7]]", 7.0),
        ("It says [[10]], which is wrong. Rating: [[2.5]]", 2.5),
        ("Rating: 7", None),
        ("Rating: [[11]]", None),
        ("Rating: [[0]]", None),
        (None, None),
    ],
)
def test_ratings_are_read(verdict: str | None, points: float | None) -> None:
    sample = next(mm_mt_bench.to_samples(row(), 0))
    assert mm_mt_bench.score(sample, ["A cat."], "mmcr@2026-08", verdict) == {"score": points}


def test_a_judge_gives_the_mean_over_answers(tmp_path: Path, write_script: Write) -> None:
    image = base64.b64encode(image_bytes(0)).decode()
    (tmp_path / "MM-MT-Bench.jsonl").write_text(json.dumps(row() | {"image": image}) + "\n")

    def judge(body: dict[str, Any]) -> str:
        return "Rating: [[8]]" if "Question 2" in body["messages"][0]["content"] else "Rating: [[3]]"

    ask = ["--model", write_script({"*": "x"}), "--tasks", "mm_mt_bench", "--out", f"{tmp_path}/run"]
    with FakeChatServer(judge) as server:
        assert main([*ask, "--data", f"{tmp_path}/MM-MT-Bench.jsonl", "--judge", f"api:{server.base_url}#judge"]) == 0
    totals = json.loads((tmp_path / "run" / "results.json").read_text())["tasks"]["mm_mt_bench"]["totals"]
    values = {name: total["value"] for name, total in totals.items()}
    assert values == {"score": 5.5, "photos": 5.5, "turn 1": 3.0, "turn 2": 8.0}


def test_own_dialogues_are_scored_by_overlap_and_exactly_where_short(
    bench_folder: Path, tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ["--model", write_script({"*": "x"}), "--tasks", "dialogues", "--out", f"{tmp_path}/run"]
    assert main(ask) == 2
    assert "pass --data dialogues=FOLDER" in capsys.readouterr().err
    assert main([*ask, "--data", f"dialogues={bench_folder}"]) == 0
    entry = json.loads((tmp_path / "run" / "results.json").read_text())["tasks"]["dialogues"]
    assert entry["num_samples"] == 4
    assert next(iter(entry["totals"])) == "reference_overlap"


def test_exact_replies_are_counted_where_the_reference_is_short() -> None:
    turns = (Turn(("How many?",), "Seven."), Turn(("Why?",), "Because there are seven of them."), Turn(("Red?",), "No"))
    sample = Sample(Dialogue("d", turns), {"domain": None}, "d")
    points = {"overall": 50.0}
    scored = [Scored(sample, ("seven", "x", "Yes"), points), Scored(sample, (), failure=Failure("timeout", ""))]
    total = dialogues.totals(scored, "mmcr@2025-03")["exact"]
    assert (total.value, total.num_lost, len(total.units)) == (25.0, 2, 4)


CHAIN = {
    "initial_scene_description": "A kitchen.",
    "questions": [
        {"question": "What first?", "choices": [
            {"image": "a.png", "correct": False}, {"image": "b.png", "correct": True}]},
        {"question": "And then?", "task_description": "Cook.", "choices": [
            {"image": "b.png", "correct": True}, {"image": "a.png", "correct": False}]},
    ],
}  # fmt: skip


def chains(tmp_path: Path, chain: dict[str, Any], count: int = 1) -> Path:
    for number in range(count):
        folder = tmp_path / "itmr" / f"chain_{number}"
        folder.mkdir(parents=True)
        (folder / "task.json").write_text(json.dumps(chain))
        for place, name in enumerate(("a.png", "b.png")):
            (folder / name).write_bytes(image_bytes(place))
    return tmp_path / "itmr"


def test_chains_are_asked_turn_by_turn_and_count_whole_ones(tmp_path: Path, write_script: Write) -> None:
    folder = chains(tmp_path, CHAIN, count=2)
    first, _ = vischainbench.samples(str(folder), "mmcr@2026-11")
    assert first.dialogue.turns[0].human == (
        "A kitchen.\nWhat first?\nA: ", 1, "\nB: ", 2, "\nAnswer with the letter of the right image.",
    )  # fmt: skip
    assert first.dialogue.turns[1].introduces == (3, 4)
    replies = {first.dialogue.id: ["B", "A"], "*": ["The answer is B.", "hm"]}
    ask = [
        "--model",
        write_script(replies),
        "--tasks",
        "vischainbench",
        "--data",
        str(folder),
        "--out",
        f"{tmp_path}/r",
    ]
    assert main(ask) == 0
    totals = json.loads((tmp_path / "r" / "results.json").read_text())["tasks"]["vischainbench"]["totals"]
    values = {name: total["value"] for name, total in totals.items()}
    assert values == {"CA": 75.0, "TC": 50.0, "turn 1": 100.0, "turn 2": 50.0}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"choices": [{"image": "a.png", "correct": True}, {"image": "b.png", "correct": True}]}, "2 of 2 choices"),
        ({"choices": [{"image": "../c.png", "correct": True}]}, "no image"),
        ({"choices": None}, "no 'choices'"),
    ],
)
def test_a_chain_that_is_malformed_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    (tmp_path / "itmr").mkdir()
    (tmp_path / "c.png").write_bytes(image_bytes(0))
    folder = chains(tmp_path, {"questions": [CHAIN["questions"][0] | change]})  # type: ignore[operator,index]
    with pytest.raises(ValueError, match=said):
        list(vischainbench.samples(str(folder), "mmcr@2026-11"))


def multiverse_row() -> dict[str, Any]:
    said = [
        {"speaker": "user", "utterance": "What is it?"},
        {
            "speaker": "model",
            "utterance": "A cat.",
            "checklist": [{"question": "Is it a cat?"}, {"question": "Short?"}],
        },
        {"speaker": "user", "utterance": "Its colour?"},
        {"speaker": "model", "utterance": "Black.", "checklist": {"question": ["Is it black?"]}},
    ]
    return {"index": 7, "image": image_bytes(0), "conversation": said}


def test_a_checklist_is_ticked_turn_by_turn_with_the_own_replies_before(tmp_path: Path, write_script: Write) -> None:
    image = base64.b64encode(image_bytes(0)).decode()
    (tmp_path / "MultiVerse.jsonl").write_text(json.dumps(multiverse_row() | {"image": image}) + "\n")

    def judge(body: dict[str, Any]) -> str:
        asked = body["messages"][0]["content"]
        return "1: no" if "Is it black?" in asked and "a tiger" in asked else "1: yes\n2. No"

    ask = ["--model", write_script({"*": ["a tiger", "black"]}), "--tasks", "multiverse", "--out", f"{tmp_path}/run"]
    with FakeChatServer(judge) as server:
        assert main([*ask, "--data", f"{tmp_path}/MultiVerse.jsonl", "--judge", f"api:{server.base_url}#judge"]) == 0
    totals = json.loads((tmp_path / "run" / "results.json").read_text())["tasks"]["multiverse"]["totals"]
    assert {name: total["value"] for name, total in totals.items()} == {
        "checklist": 25.0,
        "turn 1": 50.0,
        "turn 2": 0.0,
    }


def test_ticks_are_read_only_if_every_criterion_has_one() -> None:
    assert multiverse.read_ticks("1: yes\n2) no\n3. **Yes**", 3) == pytest.approx(2 / 3)
    assert multiverse.read_ticks("1: yes", 2) is None
    assert multiverse.read_ticks("yes, no", 2) is None


def test_a_dialogue_of_speakers_out_of_turn_or_without_a_checklist_is_named() -> None:
    row = multiverse_row()
    with pytest.raises(ValueError, match="expected two speakers in turn, found user, user"):
        multiverse.to_sample(row | {"conversation": [row["conversation"][0], row["conversation"][2]]}, 0)
    with pytest.raises(ValueError, match="0 of 1 replies have a checklist"):
        multiverse.to_sample(row | {"conversation": [row["conversation"][0], {"speaker": "b", "utterance": "x"}]}, 0)
