"""What an answer is found by must not change: keys of ledgers and journals as they were before messages were remade.

Expected values: computed with version 0.1 (commit 7785b1e). A prompt that is changed on purpose has new ones.
"""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from pathlib import Path

import pytest

from eval_tasks.models.chat_api_vlm import ChatApiVLM
from eval_tasks.registry import find_tasks, load_task
from eval_tasks.store.journal import reply_key
from eval_tasks.task import Sample
from mmcr_bench.judge.judge import open_judge
from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.client import Endpoint
from mmcr_dataset.generate.dialogues import write_dialogues
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from tests.fake_chat_server import FakeChatServer

PNGS = (  # 40 x 32 pixels; small, so that they are sent as they are, whatever the version of Pillow
    "iVBORw0KGgoAAAANSUhEUgAAACgAAAAgCAAAAABFxmXcAAAAIklEQVR42mO0YSAOMDHQQuFZYhUaD5wbRxWOKhxVOEIVAgB1kwF8mOtuyAAAAABJRU5E"
    "rkJggg==",
    "iVBORw0KGgoAAAANSUhEUgAAACgAAAAgCAAAAABFxmXcAAAAIklEQVR42mPcx0AcYGKghUJvYhQyDqwbRxWOKhxVOEIVAgAgogIGnTWzkwAAAABJRU5E"
    "rkJggg==",
)
IMAGES = tuple(DialogueImage(base64.b64decode(png)) for png in PNGS)
DIALOGUE = Dialogue(
    "d-1",
    (
        Turn(introduce([1, 2], "What is the same in image 1 and image 2?"), "Image 1 and image 2 are ‘grey’."),
        Turn(("And 木?",), "None."),
    ),
    IMAGES,
)
BARE = Dialogue("d-2", (Turn(("Hello?",), "Hi."),))
JOURNAL = [
    (DIALOGUE, [], "c42276b875bb5dbff32f02ac4be2e74d67fe440b830a253126c6581e79b8284e"),
    (DIALOGUE, ["yes ‘木’"], "f34ed8c2e7afbc04bef8b9e4d475b074898b9fc72816d8998c9a62d6604ac8cf"),
    (BARE, [], "a950981677f2ebd9b8583135cf735ae7a254830d31fa7d7c080d2114c132bae6"),
]


def keys(ledger: Path) -> list[str]:
    """First hex digits of the keys of all answers."""
    with sqlite3.connect(ledger) as db:
        return sorted(key[:16] for (key,) in db.execute("SELECT key FROM answered"))


@pytest.mark.parametrize(
    ("detail", "expected"),
    [(None, ["1451b38439ff2db6", "c62fe22667a47047"]), ("low", ["4bb5c5ce72ff2f4d", "92002d7f522cf2f6"])],
)
def test_keys_of_generated_dialogues(detail: str | None, expected: list[str], tmp_path: Path) -> None:
    candidates = [
        Candidate("doc", ("A page of text.", 1), IMAGES[:1]),
        Candidate("doc", ("A page of text.", 1, 2), IMAGES),
    ]
    with FakeChatServer(lambda _: "words") as server:
        settings = WriterSettings("openai", Endpoint(server.base_url, "m"), 0.7, 512, 256, detail)
        write_dialogues(candidates, settings, tmp_path / "ledger", lambda _: None)
    assert keys(tmp_path / "ledger") == expected


@pytest.mark.parametrize(("flag", "expected"), [("", ["23e8a8c49f5701a9"]), ("?images=yes", ["4c8f26c093a4d66a"])])
def test_keys_of_judgements(flag: str, expected: list[str], tmp_path: Path) -> None:
    with FakeChatServer(lambda _: "words") as server:
        judge = open_judge(f"api:{server.base_url}#m{flag}", tmp_path / "ledger")
        judge.score([DIALOGUE], [DIALOGUE.references])
    assert keys(tmp_path / "ledger") == expected


def test_keys_of_evaluated_replies(tmp_path: Path) -> None:
    async def ask(address: str) -> None:
        async with ChatApiVLM(address, tmp_path / "ledger") as model:
            for dialogue, replies in ((DIALOGUE, []), (DIALOGUE, ["yes"]), (BARE, [])):
                await model.reply(dialogue, replies, 64)

    with FakeChatServer(lambda _: "words") as server:
        asyncio.run(ask(f"{server.base_url}#m"))
    assert keys(tmp_path / "ledger") == ["31e9f0f64d28b88e", "bd79556c2165813f", "cbd1389f09362b0e"]


@pytest.mark.parametrize(("dialogue", "replies", "expected"), JOURNAL)
def test_keys_of_journals(dialogue: Dialogue, replies: list[str], expected: str) -> None:
    task = load_task(find_tasks()["mmcr_bench"])
    model, decoding = {"name": "m", "revision": None}, {"temperature": 0, "max_new_tokens": 64}
    assert reply_key(task, Sample(dialogue, None, "g"), replies, model, decoding) == expected
