"""Everyone who asks many: when one request ends the run, the answers that are in flight are kept, for they are paid."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.models.open_model import open_model
from eval_tasks.readers.judged_answer import ChatJudge
from eval_tasks.run import RunContext, answer_samples
from eval_tasks.store.journal import Journal
from eval_tasks.task import Sample
from eval_tasks.tasks.mmcr_bench import TASK
from mmcr_bench.judge.judge import open_judge
from mmcr_bench.judge.rubric import DIMENSIONS
from mmcr_bench.select.sort_labels import BATCH, sort_by_model
from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.ask_all import RunAborted, ask_all
from mmcr_dataset.endpoint.client import Endpoint, EndpointUnusable
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.generate.dialogues import write_dialogues
from mmcr_dataset.generate.shards import Shards, write_shards
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn
from tests.conftest import image_bytes
from tests.fake_chat_server import FakeChatServer, RevokedKey

NUM = 6
VERDICT = str({dimension.key: 7 for dimension in DIMENSIONS})


def dialogues() -> list[Dialogue]:
    return [Dialogue(f"d{n}", (Turn((f"Is it number {n}?",), "Yes."), Turn(("Sure?",), "Yes."))) for n in range(NUM)]


def candidates() -> list[Candidate]:
    image = DialogueImage(image_bytes(1))
    return [Candidate(f"d{n}", (1, f"This is number {n}?"), (image,)) for n in range(NUM)]


def write_a_shard(url: str, ledger: Path) -> None:
    shards = Shards([0], lambda number: candidates(), lambda number, rows: None)
    with Ledger(ledger) as opened:
        write_shards(shards, WriterSettings("openai", Endpoint(url, "m")), opened, lambda spend: None)


def write_again(url: str, ledger: Path) -> None:
    write_dialogues(candidates(), WriterSettings("openai", Endpoint(url, "m")), ledger, lambda spend: None)


def judge_bench(url: str, ledger: Path) -> None:
    open_judge(f"api:{url}#m", ledger).score(dialogues(), [dialogue.references for dialogue in dialogues()])


def judge_by_panel(url: str, ledger: Path) -> None:
    judge = open_judge(f"api:{url}#m,api:{url}#n", ledger)
    judge.score(dialogues(), [dialogue.references for dialogue in dialogues()])


def judge_answers(url: str, ledger: Path) -> None:
    prompts = {(n, 0): f"Is it number {n}?" for n in range(NUM)}
    ChatJudge(f"api:{url}#m", ledger, 50).ask(prompts, lambda place, text: True)


def evaluate(url: str, ledger: Path) -> None:
    model = open_model(f"api:{url}#m", ledger)

    async def ask() -> None:
        with Journal(ledger.with_name("journal.jsonl")) as journal:
            async with model:
                samples = (Sample(dialogue, None, "g") for dialogue in dialogues())
                await answer_samples(TASK, samples, RunContext(model, journal, {}, {"max_new_tokens": 9}))

    asyncio.run(ask())


def sort_labels(url: str, ledger: Path) -> None:
    table = resources.files("mmcr_bench.select").joinpath("wordnet_nouns.txt").read_text()
    synsets = [line.split("\t")[0] for line in table.splitlines()[: NUM * BATCH]]
    counts = {synset: 2 if place == 2 * BATCH else 1 for place, synset in enumerate(synsets)}  # the 2 marks one batch
    sort_by_model(counts, Endpoint(url, "m"), ledger)


@pytest.mark.parametrize(
    ("run", "mark", "num_before", "num_in_flight"),
    [
        (write_a_shard, "number 2?", 0, NUM - 1),
        (write_again, "number 2?", 0, NUM - 1),
        (judge_bench, "number 2?", 1, NUM - 2),  # the first asks alone whether the server knows the schema
        (judge_by_panel, "number 2?", 2, 2 * NUM - 3),
        (judge_answers, "number 2?", 0, NUM - 1),
        (evaluate, "number 2?", 0, NUM - 1),
        (sort_labels, ": 2\n", 0, NUM - 1),
    ],
)
def test_paid_answers_in_flight_are_kept_when_a_request_ends_the_run(
    run: Callable[[str, Path], None], mark: str, num_before: int, num_in_flight: int, tmp_path: Path
) -> None:
    def is_refused(request: dict[str, Any]) -> bool:
        content = request["messages"][-1]["content"]
        text = content if isinstance(content, str) else content[0]["text"]
        return mark in text + "\n" and request["model"] == "m"

    revoked = RevokedKey(is_refused, num_before, num_in_flight)
    with FakeChatServer(lambda request: revoked(request, VERDICT)) as server:
        with pytest.raises(EndpointUnusable, match="key revoked"):
            run(server.base_url, tmp_path / "ledger")
        num_sent = len(server.requests)
    assert (revoked.num_served, num_sent) == (num_before + num_in_flight, num_before + num_in_flight + 1)
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.totals().num_answered == revoked.num_served


def test_ask_all_gives_results_in_order_and_starts_no_more_than_it_may() -> None:
    running = most = 0

    async def ask(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (7 - number % 7))
        running -= 1
        return number

    assert asyncio.run(ask_all(map(ask, range(40)), 5)) == list(range(40))
    assert most == 5


@pytest.mark.parametrize("wrong", ["an ask", "the source of asks"])
def test_ask_all_ended_by_an_error_finishes_what_runs_and_starts_nothing_more(wrong: str) -> None:
    started, finished = [], []

    async def ask(number: int) -> None:
        started.append(number)
        await asyncio.sleep(0.05)
        if wrong == "an ask" and number == 1:
            raise OSError("disk full")
        await asyncio.sleep(0.05)
        finished.append(number)

    def asks() -> Iterator[Any]:
        for number in range(20):
            if wrong == "the source of asks" and number == 3:
                raise OSError("disk full")
            yield ask(number)

    with pytest.raises(OSError, match="disk full"):
        asyncio.run(ask_all(asks(), 3))
    assert started == [0, 1, 2]
    assert finished == [number for number in started if wrong != "an ask" or number != 1]


def test_ask_all_beside_one_that_failed_ends_too_and_the_failure_is_told() -> None:
    started = []

    async def ask(number: int) -> None:
        started.append(number)
        await asyncio.sleep(0.02)
        if number == 100:
            raise OSError("disk full")

    async def run() -> None:
        ended = asyncio.Event()
        asks = (ask_all(map(ask, range(first, first + 100)), 1, ended) for first in (0, 100))
        await ask_all(asks, 2, ended)

    with pytest.raises(OSError, match="disk full"):
        asyncio.run(run())
    assert sorted(started) in ([0, 100], [0, 1, 100])


def test_ask_all_ended_from_outside_says_so() -> None:
    async def run() -> None:
        ended = asyncio.Event()
        ended.set()
        await ask_all([asyncio.sleep(0)], 1, ended)

    with pytest.raises(RunAborted):
        asyncio.run(run())
