"""Builds killed at random moments with 64 requests out: the same bytes in the end, and no stored answer paid again."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import image_bytes
from tests.fake_chat_server import Answer, FakeChatServer
from tests.mmcr_dataset.test_pipeline import contents, good_reply

ROOT = Path(__file__).resolve().parents[3]
IN_FLIGHT = 64


def text_of(request: dict[str, Any]) -> str:
    """The words of a request: each candidate's are its own."""
    return str(request["messages"][0]["content"][0]["text"])


def stored_texts(ledger: Path) -> set[str]:
    if not ledger.is_file():
        return set()
    database = sqlite3.connect(ledger)
    try:
        return {text_of(json.loads(row[0])) for row in database.execute("SELECT request FROM answered")}
    except sqlite3.OperationalError:  # killed before the table was made
        return set()
    finally:
        database.close()


def start_build(source: Path, out: Path, url: str) -> subprocess.Popen[bytes]:
    command = ["-m", "mmcr_dataset", "build", "--source", str(source), "--out", str(out), "--writer", "openai"]
    command += ["--endpoint", f"{url}#fake", "--filter", "none", "--max-in-flight", str(IN_FLIGHT)]
    return subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL)


def kill_while_it_asks(build: subprocess.Popen[bytes], server: FakeChatServer, after_s: float) -> None:
    """Kill a build so long after its first request went out; let it end if it is faster."""
    already = len(server.requests)
    while build.poll() is None and len(server.requests) == already:
        time.sleep(0.005)
    time.sleep(after_s)
    if build.poll() is None:
        os.kill(build.pid, signal.SIGKILL)
    build.wait()


def answer_slowly(request: dict[str, Any]) -> Answer:
    return Answer(good_reply(request), delay_s=0.1 + 0.1 * (len(text_of(request)) % 5) / 5)


def check_killed_builds(tmp_path: Path, num_documents: int, num_kills: int) -> None:
    source, chance = tmp_path / "source", random.Random(1)
    source.mkdir()
    for number in range(num_documents):
        (source / f"{number}.png").write_bytes(image_bytes(number))
        (source / f"{number}.txt").write_text(f"This is the field number {number}{' in spring' * (number % 5)}.")
    with FakeChatServer(answer_slowly) as server:
        assert start_build(source, tmp_path / "calm" / "set", server.base_url).wait() == 0
        assert len(server.requests) == num_documents
    with FakeChatServer(answer_slowly) as server:
        after_kill: list[tuple[int, set[str]]] = []
        for _ in range(num_kills):
            build = start_build(source, tmp_path / "set", server.base_url)
            kill_while_it_asks(build, server, chance.uniform(0.0, 0.5))
            stored = stored_texts(tmp_path / "set.work" / "ledger.sqlite")
            num_before = len(server.requests)
            after_kill.append((num_before, stored))
        assert start_build(source, tmp_path / "set", server.base_url).wait() == 0
        asked = [text_of(request) for request in server.requests]
    for num_before, stored in after_kill:
        assert not stored.intersection(asked[num_before:])
    assert len(set(asked)) == num_documents
    assert num_documents <= len(asked) <= num_documents + num_kills * IN_FLIGHT
    assert contents(tmp_path / "set") == contents(tmp_path / "calm" / "set")


def test_build_killed_twice_gives_the_same_bytes_and_pays_no_answer_twice(tmp_path: Path) -> None:
    check_killed_builds(tmp_path, 120, 2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_build_killed_twenty_times_gives_the_same_bytes_and_pays_no_answer_twice(tmp_path: Path) -> None:
    check_killed_builds(tmp_path, 1500, 20)
