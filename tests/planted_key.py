"""Where a key ends up: run programs with a planted key, and search all that they leave for it.

    python -m tests.planted_key [PROGRAM ...]     the table: program x outcome x places searched x hits

A server that repeats the request's Authorization header in its errors is the worst case, and the one that is tried.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from mmcr_bench.judge.rubric import NAMES
from mmcr_dataset.publish.card import refresh_card
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Generation, Turn, introduce
from tests.conftest import image_bytes
from tests.fake_batch_api import BatchPlan
from tests.fake_chat_server import Answer, FakeChatServer
from tests.local_hub import LocalHub
from tests.mmcr_bench.trust.test_judge_trust import told_dialogue

ROOT = Path(__file__).resolve().parents[1]
KEY, TOKEN = "sk-planted-5fK3aQ9x", "hf_planted8Zq1Lw7v"  # of the endpoint; of the Hub
OUTCOMES = ("success", "verbose", "401", "500", "bad JSON", "kill")
_WORDS = "the harbour of the town with its boats and the people who walk there in the morning"


class Found(NamedTuple):
    """What a search found.

    Attributes:
        num_files: files that were searched.
        num_streams: output streams and process lists that were searched.
        hits: where a key was found.
        code: the program's exit code.
        num_requests: requests that the server got.
    """

    num_files: int
    num_streams: int
    hits: list[str]
    code: int
    num_requests: int


@dataclass(frozen=True)
class Program:
    """A program that is given a key.

    Attributes:
        words: its command line; `{url}` is the server's address.
        prepare: writes its input into a folder.
        on_hub: it talks to the Hub.
    """

    words: str
    prepare: Callable[[Path], object]
    on_hub: bool = False


def _verdict() -> str:
    return json.dumps(dict.fromkeys(NAMES, 7))


def _dialogue(number: int) -> Dialogue:
    turns = tuple(
        Turn(introduce([1] if turn == 1 else [], f"What is in part {turn} of {number}?"), f"Part {turn}: {_WORDS}.")
        for turn in range(1, 5)
    )
    image = DialogueImage(image_bytes(number), url=f"https://a.example/{number}.png")
    return Dialogue(f"{number:032x}", turns, (image,), generation=Generation("openai", "m"))


def _pages(folder: Path) -> None:
    (folder / "pages").mkdir()
    for number in range(2):
        (folder / f"pages/{number}.png").write_bytes(image_bytes(number, (160, 160)))
        (folder / f"pages/{number}.txt").write_text(f"This is page number {number}: {_WORDS}.")


def _bench(folder: Path) -> None:
    write_dataset([told_dialogue(number) for number in range(3)], folder / "bench", split="test")


def _set(folder: Path) -> None:
    write_dataset([_dialogue(number) for number in range(3)], folder / "set")
    refresh_card(folder / "set")


def _exact(folder: Path) -> None:
    words = "exact build --output_dir exact --dialogues 4 --telling all --guesses none --style plain --side 2"
    subprocess.run(
        [sys.executable, "-m", "mmcr_bench", *words.split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )


def _labels(folder: Path) -> None:
    labels = [["n02084071"], ["n02121808"], ["n04146614"]]
    rows = [json.dumps({"id": f"{n:032x}", "model": "m", "labels": [one]}) for n, one in enumerate(labels)]
    (folder / "labels.jsonl").write_text("\n".join(rows) + "\n")
    _set(folder)


def _questions(folder: Path) -> None:
    rows = [{"question": "Which?", "A": "x", "B": "y", "answer": "A"}] * 3
    _write_rows(folder, rows)


def _open_questions(folder: Path) -> None:
    _write_rows(folder, [{"question": "Which one is it?", "answer": "the harbour", "capability": "rec"}] * 2)


def _write_rows(folder: Path, rows: list[dict[str, str]]) -> None:
    images = [base64.b64encode(image_bytes(number)).decode() for number in range(len(rows))]
    lines = [json.dumps(row | {"index": n, "image": images[n]}) for n, row in enumerate(rows)]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")


def _model(folder: Path) -> None:
    (folder / "final").mkdir()
    for name in ("config.json", "training.json"):
        (folder / "final" / name).write_text("{}")
    (folder / "final/README.md").write_text("# A model\n")
    (folder / "final/model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")


def _scores(folder: Path) -> None:
    counts = {"failures": {}, "num_unread": 0, "unjudged": 0, "num_samples": 4, "num_scored": 4, "rules": "r"}
    total = {"value": 50.0, "low": 40.0, "high": 60.0}
    entry = counts | {"judge": {"name": "none"}, "totals": {"accuracy": total}, "is_test": False, "metric": "accuracy"}
    (folder / "run").mkdir()
    (folder / "run/results.json").write_text(json.dumps({"format": 1, "model": {"name": "m"}, "tasks": {"a": entry}}))


_BUILD = "mmcr_dataset build --source pages --output_dir set --filter none --endpoint {url}#fake"
PROGRAMS = {
    "build": Program(f"{_BUILD} --writer openai", _pages),
    "build, engine": Program(f"{_BUILD} --writer openai --engine datatrove-local --ranks 1", _pages),
    "build, batch": Program(f"{_BUILD} --writer openai-batch", _pages),
    "canaries": Program("mmcr_bench canaries bench/single --judge api:{url}#m --limit 3", _bench),
    "exact judge": Program("mmcr_bench exact judge exact --judge api:{url}#m --limit 2", _exact),
    "topics": Program("mmcr_bench topics set --sorter {url}#m --per_domain 1", _labels),
    "evaluate": Program(
        "eval_tasks --model api:{url}#m --tasks choice --data choice=rows.jsonl --output_dir run", _questions
    ),
    "judged answer": Program(
        "eval_tasks --model api:{url}#m --tasks mmvet --data mmvet=rows.jsonl --judge api:{url}#j --output_dir run",
        _open_questions,
    ),
    "bench judge": Program(
        "eval_tasks --model api:{url}#m --tasks mmcr_bench --data mmcr_bench=bench --judge api:{url}#j "
        "--output_dir run",
        _bench,
    ),
    "publish": Program("mmcr_dataset publish set --push_to tester/set", _set, on_hub=True),
    "publish model": Program("training publish final --push_to tester/model", _model, on_hub=True),
    "publish scores": Program("eval_tasks report run --push_to tester/card", _scores, on_hub=True),
}


def _reply(request: Mapping[str, Any]) -> str:
    """A dialogue to a request with images for a writer, else a verdict."""
    content = request["messages"][-1]["content"]
    if "- domestic cat: " in json.dumps(content):
        return json.dumps({"dog": "animals", "domestic cat": "animals", "school bus": "artifacts"})
    if "Human 1" not in json.dumps(content):
        return _verdict()
    shown = sum(block["type"] == "image_url" for block in content)
    turns = range(1, (4 if shown == 1 else 8) + 1)
    marks = [f"<image {turn}> " if turn <= shown else "" for turn in turns]
    return "\n".join(
        f"< Human {turn} >: {mark}What is in part {turn} of it?\n"
        f"< Assistant {turn} >: In image {min(turn, shown)} there is the thing with number {turn}."
        for turn, mark in zip(turns, marks, strict=True)
    )


@contextmanager
def chat_server(outcome: str) -> Iterator[FakeChatServer]:
    """A server of one outcome; its errors repeat the key that it was sent."""

    def answer(request: dict[str, Any]) -> Answer:
        said = f"Incorrect API key provided: Bearer {KEY}. You sent Authorization: Bearer {KEY}"
        if outcome in ("401", "500"):
            return Answer(said, status=int(outcome))
        if outcome == "bad JSON":
            return Answer(raw=f'{{"choices": "{said}'.encode())
        return Answer(_reply(request), delay_s=60.0 if outcome == "kill" else 0.0)

    with FakeChatServer(answer) as server:
        if outcome == "kill":
            server.batches.plan = lambda number: BatchPlan(looks=10**9)
        yield server


@contextmanager
def hub_server(outcome: str) -> Iterator[LocalHub]:
    """A Hub that fails at the commit."""

    def fail(method: str, path: str) -> int | None:
        if "/commit/" not in path or outcome in ("success", "verbose"):
            return None
        if outcome == "kill":
            time.sleep(60)
        return {"401": 401, "500": 500}.get(outcome, 502)

    with LocalHub(fail) as hub:
        hub.put("tester/card", {"README.md": b"---\nlicense: apache-2.0\n---\n# A model\n"})
        yield hub


def search(name: str, outcome: str, folder: Path) -> Found:
    """Run a program to one outcome in an empty folder, and search files, streams and process lists for the keys."""
    program = PROGRAMS[name]
    program.prepare(folder)
    for place in ("tmp", "home"):
        (folder / place).mkdir()
    environment = os.environ | {
        "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "HF_HOME": str(folder / "home/hf"),
        "XDG_CACHE_HOME": str(folder / "home/cache"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
        "OPENAI_API_KEY": f"{KEY}\n", "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "OPENAI_LOG": "",
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    with hub_server(outcome) as hub, chat_server(outcome) as server:
        if program.on_hub:
            environment |= {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
        words = [sys.executable, "-m", *program.words.format(url=server.base_url).split()]
        words += ["-v"] if outcome == "verbose" else []
        code, listed = _run(words, folder, environment, server, kill=outcome == "kill", on_hub=program.on_hub)
        num_requests = len(server.requests) + len(server.batches.requests())
    hits = [place for place, text in _texts(folder) if KEY.encode() in text or TOKEN.encode() in text]
    num_files = sum(path.is_file() for path in folder.rglob("*")) - 2  # the two streams are files here
    return Found(num_files, 3, hits + [f"a process list: {words}" for words in listed], code, num_requests)


def _run(
    words: list[str], folder: Path, environment: dict[str, str], server: FakeChatServer, kill: bool, on_hub: bool
) -> tuple[int, list[str]]:
    """Exit code, and the arguments of processes of the machine that had a key in them."""
    seen: set[str] = set()
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        started = subprocess.Popen(
            words, cwd=folder, env=environment, stdout=out, stderr=err, stdin=subprocess.DEVNULL, start_new_session=True
        )
        until, asked_at = time.monotonic() + 400, None
        while started.poll() is None and time.monotonic() < until:
            seen |= _in_process_list()
            if asked_at is None and (
                server.requests or server.batches.batches or (on_hub and time.monotonic() > until - 392)
            ):
                asked_at = time.monotonic()
            if kill and asked_at is not None and time.monotonic() > asked_at + 0.5:
                break
            time.sleep(0.1)
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        code = started.wait()
    return code, sorted(seen)


def _in_process_list() -> set[str]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue  # it has ended, or is another user's
        if KEY.encode() in words or TOKEN.encode() in words:
            found.add(f"{path.parent.name} {words.replace(bytes(1), b' ').decode('utf-8', 'replace')[:300]}")
    return found


def _texts(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file, unpacked where the format compresses."""
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        name, data = str(path.relative_to(folder)), path.read_bytes()
        yield name, data + name.encode()
        if data[:2] == b"\x1f\x8b":
            yield name, gzip.decompress(data)
        if path.suffix == ".parquet":
            yield name, repr(pq.read_table(path).to_pylist()).encode()


def main(names: list[str]) -> int:
    """Print the table; returns 1 if a key was found."""
    print(f"{'program':16} {'outcome':9} {'exit':>5} {'requests':>8} {'files':>6} {'streams':>7} {'hits':>5}")
    num_hits = 0
    for name in names or list(PROGRAMS):
        for outcome in OUTCOMES:
            with tempfile.TemporaryDirectory(prefix="mmcr-key-") as folder:
                found = search(name, outcome, Path(folder))
            num_hits += len(found.hits)
            numbers = f"{found.code:5} {found.num_requests:8} {found.num_files:6} {found.num_streams:7}"
            print(f"{name:16} {outcome:9} {numbers} {len(found.hits):5} {' '.join(found.hits)}", flush=True)
    return 1 if num_hits else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
