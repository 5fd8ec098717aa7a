"""The Batch API under kills, statuses and bad lines drawn by a seed: each dialogue once, the server's money.

    python -m tests.batch_drill [NUM]       so many interleavings (200); prints each and what was wrong

A run is a process that kills itself (SIGKILL) before or after one of its calls or state files; runs follow each other
until one ends. Waiting is shortened, so that a run that would wait for ever reaches its limits at once.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp  # noqa: F401  (loaded once, not in each run)
import openai

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint import batch_folder
from mmcr_dataset.endpoint.address import Endpoint
from mmcr_dataset.endpoint.budget import EndpointUnusable
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.endpoint.transport import Transport
from mmcr_dataset.generate.batches import BatchRun
from mmcr_dataset.generate.writer_settings import BatchSettings, WriterSettings
from mmcr_dataset.record.dialogue import DialogueImage
from tests.conftest import image_bytes
from tests.fake_batch_api import CREATED, FakeBatches
from tests.fake_chat_server import FakeChatServer

NUM_DOCUMENTS = 6
MODEL = "gpt-4o-2024-08-06"
COST_USD = 0.5 * (1000 * 2.5 + 100 * 10) / 1e6  # of one answer at half of the model's price
MAX_RUNS = 30
_LOADED = openai.AsyncOpenAI, openai.DefaultAioHttpClient  # by their names: the SDK imports when it is asked
RUN_S = 60.0
FATES = ("completed",) * 4 + ("expired", "failed", "cancelled", "gone", "hidden", "late", "full", "lost_reply")
BAD_LINES = ("garbage", "[1, 2]", '{"custom_id": null}', '{"custom_id": "nobody", "response": {}}', "[" * 5000, "")
_SHORT_S = 0.001


class DrawnBatches(FakeBatches):
    """Batches whose fate is drawn; `.num_paid` counts the answers that were made and can be read."""

    def __init__(self, complete: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]], chance: random.Random) -> None:
        super().__init__(complete)
        self.chance, self.num_paid, self.hidden = chance, 0, {}
        self.fates: list[str] = []

    def create(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        fate = self.chance.choice(FATES) if len(self.fates) < 12 else "completed"
        self.fates.append(fate)
        status, made = super().create(request)
        self.batches[made["id"]] |= {"fate": fate, "looks_left": self.chance.randint(0, 2)}
        self.hidden[made["id"]] = self.chance.randint(1, 4) if fate == "hidden" else 0
        return (500, {"error": {"message": "broken"}}) if fate == "lost_reply" else (status, made)

    def list(self, after: str | None) -> tuple[int, dict[str, Any]]:
        status, page = super().list(after)
        return status, page | {"data": [one for one in page["data"] if one["fate"] != "gone"]}

    def look(self, batch_id: str) -> tuple[int, dict[str, Any]]:
        batch = self.batches.get(batch_id)
        if batch is None or batch["fate"] == "gone" or self.hidden[batch_id] > 0:
            self.hidden[batch_id] = self.hidden.get(batch_id, 0) - 1
            return 404, {"error": {"message": "no such batch"}}
        if self.chance.random() < 0.1:
            return 503, {"error": {"message": "busy"}}
        return super().look(batch_id)

    def content(self, file_id: str) -> tuple[int, bytes]:
        if self.hidden.get(file_id, 0) > 0:
            self.hidden[file_id] -= 1
            return 404, b'{"error": {"message": "no such file"}}'
        return 200, self.files[file_id]

    def _end(self, batch: dict[str, Any], plan: Any) -> None:
        fate, chance = batch["fate"], self.chance
        if fate == "full":
            errors = [{"code": "token_limit_exceeded", "message": "queue is full", "line": None}]
            batch |= {"status": "failed", "errors": {"data": errors}}
            return
        asked = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        chance.shuffle(asked)
        is_whole = fate not in ("expired", "failed", "cancelled")
        num_answered = len(asked) if is_whole else chance.randint(1, len(asked))
        output = [self._line(one) for one in asked[:num_answered]]
        output = [line for line in output if chance.random() > 0.1]  # some are neither answered nor refused
        output += [line for line in output if chance.random() < 0.1]
        self.num_paid += sum('"status_code": 200' in line for line in output)
        output += chance.sample(BAD_LINES, chance.randint(0, 2))
        chance.shuffle(output)
        batch |= {"status": "completed" if is_whole else fate, "completed_at": CREATED + 60}
        if output:
            file_id = f"file-output-{batch['id']}"
            self.files[file_id] = "".join(f"{line}\n" for line in output).encode()
            self.hidden[file_id] = chance.randint(1, 3) if fate == "late" else 0
            batch["output_file_id"] = file_id
        else:
            batch |= {"status": "expired"}

    def _line(self, asked: dict[str, Any]) -> str:
        """An answer, or a failure that costs nothing."""
        if self.chance.random() < 0.2:
            failure = {"status_code": self.chance.choice([429, 500, 503]), "body": {"error": {"message": "busy"}}}
            return json.dumps({"custom_id": asked["custom_id"], "response": failure})
        status, body = self.complete(asked["body"])
        return json.dumps({"custom_id": asked["custom_id"], "response": {"status_code": status, "body": body}})


class Result(NamedTuple):
    """How an interleaving ended.

    Attributes:
        num_runs: runs until one ended.
        num_kills: of them killed.
        fates: of the batches.
        num_paid: answers that the server made.
        wrong: what was wrong, empty if nothing.
    """

    num_runs: int
    num_kills: int
    fates: list[str]
    num_paid: int
    wrong: list[str]


@dataclass
class _Killer:
    """Kills this process at the n-th of the moments at which something was done or is about to be."""

    left: int
    seen: int = field(default=0)

    def moment(self) -> None:
        self.seen += 1
        if self.seen == self.left:
            os.kill(os.getpid(), signal.SIGKILL)


def _candidates() -> list[Candidate]:
    image = DialogueImage(image_bytes(1))
    return [Candidate(f"d{n}", (1, f"This is the field number {n}."), (image,)) for n in range(NUM_DOCUMENTS)]


def _writer(base_url: str) -> WriterSettings:
    return WriterSettings("openai-batch", Endpoint(base_url, MODEL), batches=BatchSettings(max_requests=4))


def run_once(base_url: str, work: Path, kill_at: int) -> None:
    """One run in this process: exit code 0 at its end, 3 where it says that it must be run again."""
    killer = _Killer(kill_at)
    sleep = asyncio.sleep
    asyncio.sleep = lambda seconds, result=None: sleep(min(seconds, _SHORT_S), result)  # type: ignore[assignment]
    for name in ("post_json", "get", "upload", "download"):
        setattr(Transport, name, _between(getattr(Transport, name), killer))
    write_text = batch_folder.write_text

    def write(path: Path, text: str) -> None:
        killer.moment()
        write_text(path, text)
        killer.moment()

    batch_folder.write_text = write
    settings = _writer(base_url)
    with Ledger(work / "ledger.sqlite") as ledger:
        run = BatchRun(settings, ledger, work / "batches", lambda line: print(line, file=sys.stderr))
        try:
            answers = asyncio.run(run.answer(lambda: iter([_candidates()])))
        except EndpointUnusable as unusable:
            print(unusable, file=sys.stderr)
            sys.exit(3)
        sys.exit(0 if not answers._failures else 4)


def _between(call: Callable[..., Any], killer: _Killer) -> Callable[..., Any]:
    async def called(*words: Any) -> Any:
        killer.moment()
        answered = await call(*words)
        killer.moment()
        return answered

    return called


def drill(seed: int, work: Path) -> Result:
    """One interleaving: runs with kills until one ends, then a last run that must ask nothing."""
    chance = random.Random(seed)
    fork = multiprocessing.get_context("fork")  # between two runs no thread of the server does anything
    wrong: list[str] = []
    num_kills, code = 0, -1
    with FakeChatServer(lambda request: _reply()) as server:
        batches = DrawnBatches(server.batches.complete, chance)
        server.batches = batches
        for num_runs in range(1, MAX_RUNS + 1):
            kill_at = chance.randint(1, 40) if num_kills < 6 else 0
            code = _run(fork, server.base_url, work, kill_at)
            num_kills += code == -signal.SIGKILL
            if code == 0:
                break
            if code not in (-signal.SIGKILL, 3, 4):
                wrong.append(f"run {num_runs} ended with {code}")
        num_batches = len(batches.batches)
        if code == 0 and (_run(fork, server.base_url, work, 0), len(batches.batches)) != (0, num_batches):
            wrong.append("a run after the end asks again")
    wrong += [f"no end in {MAX_RUNS} runs"] * (code != 0)
    with Ledger(work / "ledger.sqlite") as ledger:
        totals = ledger.totals()
    if totals.num_answered != NUM_DOCUMENTS:
        wrong.append(f"{totals.num_answered} of {NUM_DOCUMENTS} requests have an answer")
    if abs(totals.usd - batches.num_paid * COST_USD) > 1e-9:
        wrong.append(f"{totals.usd:.6f} USD in the ledger, the server counts {batches.num_paid * COST_USD:.6f}")
    if batch_folder.BatchFolder(work / "batches").open_batches():
        wrong.append("a batch is open")
    return Result(num_runs, num_kills, batches.fates, batches.num_paid, wrong)


def _run(fork: Any, base_url: str, work: Path, kill_at: int) -> int:
    process = fork.Process(target=_quietly, args=(base_url, work, kill_at))
    process.start()
    process.join(RUN_S)
    if process.exitcode is None:
        process.kill()
        process.join()
        return 99  # it waits for ever
    return int(process.exitcode)


def _quietly(base_url: str, work: Path, kill_at: int) -> None:
    with (work / "log").open("a") as log:
        os.dup2(log.fileno(), 2)
        run_once(base_url, work, kill_at)


def _reply() -> str:
    turns = [f"< Human {n} >: {'<image 1> ' * (n == 1)}What is it?\n< Assistant {n} >: A field." for n in range(1, 5)]
    return "\n".join(turns)


def results(num: int) -> Iterator[tuple[int, Result]]:
    """The interleavings of the first seeds."""
    for seed in range(num):
        with tempfile.TemporaryDirectory(prefix="mmcr-drill-") as folder:
            yield seed, drill(seed, Path(folder))


def main(words: list[str]) -> int:
    """Print all interleavings; returns 1 if one went wrong."""
    num_wrong = num_runs = num_kills = 0
    for seed, one in results(int(words[0]) if words else 200):
        num_wrong, num_runs, num_kills = num_wrong + bool(one.wrong), num_runs + one.num_runs, num_kills + one.num_kills
        shown = "; ".join(one.wrong) or "each dialogue once, money as the server counts"
        print(f"{seed:4} {one.num_runs:3} runs {one.num_kills:2} kills {one.num_paid:3} paid  {shown}", flush=True)
        print(f"       {' '.join(one.fates)}", flush=True)
    print(f"{num_runs} runs, {num_kills} kills, {num_wrong} interleavings went wrong")
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
