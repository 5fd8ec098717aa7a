"""The samples on the report page."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

from eval_tasks.__main__ import main
from tests.conftest import image_bytes
from tests.eval_tasks.tasks.test_mmdu import verdict
from tests.fake_chat_server import FakeChatServer


def test_page_shows_images_replies_and_points_escaped_and_says_how_many_there_are(
    tmp_path: Path, write_script: Callable[..., str]
) -> None:
    image = base64.b64encode(image_bytes(1)).decode()
    row = {"question": "Which <b>?", "A": "a dog", "B": "a cat", "answer": "B", "image": image}
    rows = [{**row, "index": n} for n in range(4)] + [
        {**row, "index": 4, "image": base64.b64encode(b"none" * 40).decode()}
    ]
    data = tmp_path / "MMStar.jsonl"
    data.write_text("\n".join(json.dumps(one) for one in rows))
    said = {"0": "B", "1": "<script>alert(1)</script>", "2": {"failure": "over_length"}, "3": "A", "4": "B"}
    for name, script in (("base", said), ("tuned", {"*": "B"})):
        ask = ["--model", write_script(script, f"{name}.json"), "--tasks", "mmstar", "--data", str(data)]
        assert main([*ask, "--out", str(tmp_path / name)]) == 0
    page = tmp_path / "report.html"
    ask = ["report", str(tmp_path / "base"), str(tmp_path / "tuned"), "--html", str(page), "--paper", "Ovis-1B"]
    assert main([*ask, "--data", f"mmstar={data}"]) == 0
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 4  # the fifth doesn't decode: its words are shown
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    for part in (
        "5 of 5 samples",
        "accuracy unread: the rules find no answer in the reply, and no judge was asked",
        "failed: over_length",
        "accuracy 1; read: B",
        "accuracy 0; read: A",
        "paper: Ovis-1B",
    ):
        assert part in text
    assert main([*ask, "--samples", "2"]) == 0
    text = page.read_text()
    assert "2 of 5 samples. Images: pass --data mmstar=PLACE" in text
    assert "data:image" not in text


def test_page_shows_what_a_judge_said_about_each_turn_and_why_a_turn_has_no_verdict(
    tmp_path: Path, write_script: Callable[..., str], mmdu: Path
) -> None:
    said = verdict(6).replace("Explained", "Mixes <both> up")
    with FakeChatServer(
        lambda body: "10/10!" if "Question:\ny\n" in body["messages"][0]["content"] else said
    ) as server:
        ask = ["--model", write_script({"*": "It stands."}), "--tasks", "mmdu", "--data", str(mmdu)]
        assert main([*ask, "--judge", f"api:{server.base_url}#strict", "--out", str(tmp_path / "run")]) == 0
    page = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "run"), "--html", str(page), "--data", f"mmdu={mmdu}"]) == 0
    text = page.read_text()
    assert text.count("Mixes &lt;both&gt; up") == 4  # of five turns
    assert "read: turn 1: 6, turn 2: 6" in text
    assert "unjudged: unread_verdict (turn 2: 10/10!)" in text
