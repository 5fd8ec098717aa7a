"""Long dialogues: the plan of requests, the thread they carry, resumed and estimated from the ledger."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.client import Endpoint
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.generate.dialogues import write_dialogues
from mmcr_dataset.generate.estimate import estimate
from mmcr_dataset.generate.long_dialogue import plan_parts, read_part, show_rounds
from mmcr_dataset.generate.parse import UnreadableReply
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage
from mmcr_dataset.stage.stages import Removed
from tests.conftest import image_bytes
from tests.fake_chat_server import Answer, FakeChatServer


def cluster_of(num_images: int) -> Candidate:
    images = tuple(DialogueImage(image_bytes(number)) for number in range(num_images))
    blocks = [block for n in range(1, num_images + 1) for block in (n, f"This is the text of the bridge {n}.")]
    return Candidate("cluster-1", tuple(blocks), images)


def reply_to(request: dict[str, Any]) -> str:
    """A reply as the prompt of a part asks for it."""
    text = request["messages"][0]["content"][0]["text"]
    first, last = map(int, re.search(r"rounds (\d+) to (\d+) of", text).groups())  # type: ignore[union-attr]
    shown = re.findall(r"<image (\d+)>", text.partition("The texts below")[0].partition("In this part introduce")[2])
    lines = []
    for number in range(first, last + 1):
        image = shown[number - first] if number - first < len(shown) else None
        mark = f"<image {image}> " if image else ""
        about = f"image {image}" if image else "image 1"
        lines.append(f"< Human {number} >: {mark}What is the thing of round {number}?")
        lines.append(f"< Assistant {number} >: In round {number} {about} shows a bridge of stone over a river.")
    return "\n".join(lines)


def settings_of(server: FakeChatServer, **changes: Any) -> WriterSettings:
    return WriterSettings("openai", Endpoint(server.base_url, "gpt-4o"), recipe="mmdu", **changes)


@pytest.mark.parametrize(("images", "parts", "rounds"), [(2, 2, 5), (4, 2, 7), (5, 3, 9), (20, 6, 27)])
def test_plan_has_up_to_27_rounds(images: int, parts: int, rounds: int) -> None:
    plan = plan_parts(images)
    assert (len(plan), plan[-1].last) == (parts, rounds)
    assert [n for part in plan for n in part.images] == list(range(1, images + 1))
    assert [part.first for part in plan[1:]] == [part.last + 1 for part in plan[:-1]]


def test_dialogue_of_twenty_images_carries_its_thread_over_six_requests(tmp_path: Path) -> None:
    with FakeChatServer(reply_to) as server:
        (dialogue,) = write_dialogues([cluster_of(20)], settings_of(server), tmp_path / "ledger", lambda _: None)
        assert isinstance(dialogue, Dialogue)
        assert (len(dialogue.turns), len(dialogue.images), len(server.requests)) == (27, 20, 6)
        images = [sum(b["type"] == "image_url" for b in r["messages"][0]["content"]) for r in server.requests]
        assert images == [4, 4, 4, 4, 4, 20]
        third = server.requests[2]["messages"][0]["content"][0]["text"]
        assert "< Assistant 10 >: In round 10 image 1 shows" in third
        assert dialogue.generation.prompt_tokens == 6000
        assert dialogue.generation.completion_tokens == 600
        write_dialogues([cluster_of(20)], settings_of(server), tmp_path / "ledger", lambda _: None)
        assert len(server.requests) == 6


def test_unreadable_part_is_asked_again_alone(tmp_path: Path) -> None:
    answers = iter([None, "no dialogue at all", None, None])

    def answer(request: dict[str, Any]) -> str:
        return next(answers) or reply_to(request)

    with FakeChatServer(answer) as server:
        (dialogue,) = write_dialogues([cluster_of(5)], settings_of(server), tmp_path / "ledger", lambda _: None)
        assert isinstance(dialogue, Dialogue)
        assert len(server.requests) == 4
    with FakeChatServer(lambda _: "no dialogue at all") as server:
        (removed,) = write_dialogues([cluster_of(5)], settings_of(server), tmp_path / "other", lambda _: None)
        assert isinstance(removed, Removed)
        assert removed.reason == "no_turns"
        assert len(server.requests) == 2


def test_estimate_counts_the_parts_that_are_not_in_the_ledger(tmp_path: Path) -> None:
    answers = [Answer("", status=400)]

    def answer(request: dict[str, Any]) -> str | Answer:
        return reply_to(request) if "part 1" in request["messages"][0]["content"][0]["text"] else answers[0]

    with FakeChatServer(answer) as server:
        settings = settings_of(server)
        with Ledger(tmp_path / "ledger") as ledger:
            before = estimate([[cluster_of(5)]], settings, ledger)
        assert (before.num_known, before.num_to_pay) == (0, 3)
        assert before.usd is not None
        assert before.worst_case_usd is not None
        assert 0 < before.usd < before.worst_case_usd
        write_dialogues([cluster_of(5)], settings, tmp_path / "ledger", lambda _: None)
        with Ledger(tmp_path / "ledger") as ledger:
            after = estimate([[cluster_of(5)]], settings, ledger)
        assert (after.num_known, after.num_to_pay) == (1, 2)


def test_part_may_count_its_rounds_from_one() -> None:
    part = plan_parts(5)[1]
    rounds = [("<image 5> What is it?", "Image 5 is a bridge."), ("And beside image 1?", "Image 1 is smaller.")]
    for first in (1, part.first):
        assert read_part("Sure:\n" + "\n".join(show_rounds(rounds, first)), part) == rounds


@pytest.mark.parametrize(
    ("rounds", "reason"),
    [
        ([("<image 5> What?", "Image 5.")], "wrong_number_of_rounds"),
        ([("<image 4> What?", "Image 4."), ("And?", "Yes.")], "wrong_images"),
        ([("What?", "Image 5."), ("And?", "Yes.")], "wrong_images"),
    ],
)
def test_parts_that_break_the_plan_are_unreadable(rounds: list[tuple[str, str]], reason: str) -> None:
    with pytest.raises(UnreadableReply, match=reason):
        read_part("\n".join(show_rounds(rounds, 6)), plan_parts(5)[1])


def test_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="use --writer openai"):
        WriterSettings("openai-batch", Endpoint("http://127.0.0.1:1/v1", "m"), recipe="mmdu")
