"""Lines of a batch's files, whatever they hold: one outcome for each request, and the money that the server counted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest

from mmcr_dataset.endpoint.batch_api import BatchApi
from mmcr_dataset.endpoint.batch_folder import Batch, BatchFolder
from mmcr_dataset.endpoint.ledger import Asked, Ledger, to_asked
from mmcr_dataset.generate.batch_reader import BatchReader

COST_USD = 0.5 * (1000 * 2.5 + 100 * 10) / 1e6  # of one answer at half of gpt-4o's price
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100}
REQUESTS = [to_asked({"model": "gpt-4o", "n": n, "messages": [], "max_tokens": 100}) for n in range(3)]


class Files:
    """A server that has some files."""

    def __init__(self, **files: str) -> None:
        self.files = files

    async def download(self, file_id: str, to: Path) -> bool:
        if file_id not in self.files:
            return False
        to.write_text(self.files[file_id])
        return True


def body_of(**more: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}
    return {"model": "gpt-4o", "usage": USAGE, "choices": [choice]} | more


def line_of(asked: Asked, body: Any = None, status: Any = 200) -> dict[str, Any]:
    response = {"status_code": status, "body": body_of() if body is None else body}
    return {"custom_id": asked.key, "response": response, "error": None}


class Case:
    """A batch of three requests, read from the lines of its output file."""

    def __init__(self, work: Path) -> None:
        self.folder = BatchFolder(work / "batches", "http://127.0.0.1/v1", "gpt-4o")
        file = self.folder.new_file()
        for asked in REQUESTS:
            file.add(asked, b"{}\n", 0.01)
        written = file.close()
        assert written is not None
        self.batch = self.folder.save(written, stage="created", batch_id="batch_1")
        self.work = work

    def read(self, lines: list[Any], **state: Any) -> tuple[bool, BatchReader]:
        text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
        with Ledger(self.work / "ledger.sqlite") as ledger:
            api = cast(BatchApi, Files(out=text))
            reader = BatchReader(api, self.folder, ledger, "http://127.0.0.1/v1", lambda line: None)
            state = {"status": "completed", "output_file_id": "out", "completed_at": 1_760_000_000} | state
            return asyncio.run(reader.read(self.batch, state, "gpt-4o")), reader

    def totals(self) -> tuple[int, float]:
        with Ledger(self.work / "ledger.sqlite") as ledger:
            totals = ledger.totals()
        return totals.num_answered, totals.usd


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


ODD_LINES: dict[str, tuple[Any, str, int]] = {  # the line, the name of its failure, answers that were paid
    "no quota": (line_of(REQUESTS[2], {"error": {"code": "insufficient_quota", "message": "x"}}, 429), "http_429", 0),
    "forbidden": (line_of(REQUESTS[2], {"error": {"message": "x"}}, 403), "http_403", 0),
    "not found": (line_of(REQUESTS[2], {"error": {"message": "x"}}, 404), "http_404", 0),
    "body is text": (line_of(REQUESTS[2], "<html>", 502), "http_502", 0),
    "body is a list": (line_of(REQUESTS[2], [1], 500), "http_500", 0),
    "error is text": ({"custom_id": REQUESTS[2].key, "response": None, "error": "timeout"}, "no_answer", 0),
    "error is a number": ({"custom_id": REQUESTS[2].key, "error": 3}, "no_answer", 0),
    "response is text": ({"custom_id": REQUESTS[2].key, "response": "x"}, "no_answer", 0),
    "choice is null": (line_of(REQUESTS[2], body_of(choices=[None])), "no_choice", 1),
    "choices is an object": (line_of(REQUESTS[2], body_of(choices={"a": 1})), "empty_reply", 1),
    "message is a number": (line_of(REQUESTS[2], body_of(choices=[{"message": 7}])), "empty_reply", 1),
    "status is text": (line_of(REQUESTS[2], {"error": {"message": "x"}}, "four hundred"), "http_0", 0),
    "no JSON": ('{"custom_id": ', "no_answer", 0),
    "deep JSON": ("[" * 100_000, "no_answer", 0),
    "a list": ([1, 2], "no_answer", 0),
    "no id": ({"custom_id": None, "response": {}}, "no_answer", 0),
    "id of nobody": ({"custom_id": "x" * 64, "response": None}, "no_answer", 0),
}


@pytest.mark.parametrize("name", ODD_LINES)
def test_odd_line_fails_its_request_by_name_and_the_rest_is_kept(name: str, case: Case) -> None:
    odd, reason, num_paid = ODD_LINES[name]
    is_read, reader = case.read([line_of(REQUESTS[0]), odd, line_of(REQUESTS[1])])
    assert is_read
    assert {key: failure.reason for key, failure in reader.failures.items()} == {REQUESTS[2].key: reason}
    num_answered, usd = case.totals()
    assert num_answered == 2
    assert usd == pytest.approx((2 + num_paid) * COST_USD)
    assert case.folder.open_batches() == []


def test_duplicates_and_a_failure_after_an_answer_cost_and_lose_nothing(case: Case) -> None:
    failed = line_of(REQUESTS[0], {"error": {"message": "x"}}, 500)
    lines = [*map(line_of, REQUESTS), line_of(REQUESTS[0]), failed]
    _, reader = case.read(lines)
    assert reader.failures == {}
    assert case.totals() == (3, pytest.approx(4 * COST_USD))


def test_batch_read_twice_after_a_kill_is_counted_once(case: Case) -> None:
    lines = [*map(line_of, REQUESTS[:2]), line_of(REQUESTS[2], body_of(choices=[None]))]
    case.read(lines)
    again = Case(case.work)
    again.read(lines)
    assert again.totals() == (2, pytest.approx(3 * COST_USD))


@pytest.mark.parametrize(
    "state",
    [
        {"output_file_id": "later"},
        {"output_file_id": None},
        {"error_file_id": "later"},
        {"request_counts": {"completed": 2, "failed": 1}},
    ],
)
def test_completed_before_its_files_are_there_is_looked_at_again(state: dict[str, Any], case: Case) -> None:
    is_read, reader = case.read([line_of(REQUESTS[0])], **state)
    assert not is_read
    assert reader.failures == {}
    assert [batch.stage for batch in case.folder.open_batches()] == ["created"]


@pytest.mark.parametrize("status", ["expired", "cancelled", "failed"])
def test_what_an_ended_batch_did_answer_is_kept(status: str, case: Case) -> None:
    is_read, reader = case.read([line_of(REQUESTS[0])], status=status, completed_at=None, created_at="2026-01-01")
    assert is_read
    assert {failure.reason for failure in reader.failures.values()} == {"no_answer"}
    assert case.totals() == (1, pytest.approx(COST_USD))


def test_state_of_an_older_version_is_read(tmp_path: Path) -> None:
    folder = BatchFolder(tmp_path)
    state = {"number": 0, "stage": "created", "mark": "m", "num_requests": 1, "most_usd": 0.1}
    (tmp_path / "00000.json").write_text(json.dumps(state | {"file_id": "f", "batch_id": "b"}))
    assert folder.open_batches() == [Batch(0, "created", "m", 1, 0.1, "f", "b")]
