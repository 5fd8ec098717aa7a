"""Writer `openai-batch`: requests through the Batch API at half the price, answers into the ledger.

A run first resumes the open batches of earlier runs, then sends unanswered requests in files of at most 50,000 requests
and 200 MB; failed and expired requests are sent again in further rounds. Afterwards the dialogues are written from the
ledger, as with `openai`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.batch_api import ENDED, BatchApi
from mmcr_dataset.endpoint.batch_folder import Batch, BatchFile, BatchFolder, read_lines
from mmcr_dataset.endpoint.budget import Budget, EndpointUnusable
from mmcr_dataset.endpoint.client import (
    Messages,
    Reply,
    RequestFailed,
    rename_max_tokens,
    to_attempt,
    to_body,
    to_request,
)
from mmcr_dataset.endpoint.ledger import Asked, Ledger
from mmcr_dataset.endpoint.reply import RetryableFailure, read_completion, read_reply, read_usage, rejects_max_tokens
from mmcr_dataset.endpoint.transport import HttpResponse
from mmcr_dataset.generate.dialogues import UNUSABLE, image_name, image_url, to_request_messages
from mmcr_dataset.generate.estimate import BATCH_SHARE
from mmcr_dataset.generate.parse import is_readable
from mmcr_dataset.generate.writer_settings import WriterSettings

_POLL_MIN_S, _POLL_MAX_S = 0.2, 30.0
Log = Callable[[str], None]


class BatchAnswers:
    """Answers from the ledger, and the failures of the batches.

    Args:
        model: name of the model.
        ledger: the open ledger.
        budget: cost so far.
        failures: failed requests, by key.
    """

    def __init__(self, model: str, ledger: Ledger, budget: Budget, failures: dict[str, RequestFailed]) -> None:
        self._model, self._ledger, self._budget, self._failures = model, ledger, budget, failures

    async def ask(
        self,
        messages: Messages,
        with_images: Callable[[], Messages] | None = None,
        attempt: int = 1,
        **decoding: Any,  # noqa: ANN401
    ) -> Reply:
        """The stored reply to some messages; as `ChatClient.ask`, but sends nothing.

        Raises:
            RequestFailed: no batch had an answer.
        """
        key = to_attempt(to_request(self._model, messages, decoding), attempt).key
        known = self._ledger.find(key)
        if known is None:
            raise self._failures.get(key) or RequestFailed("no_answer", "no batch had an answer to this request")
        return read_reply(known, from_ledger=True)

    def has_answer(self, messages: Messages, attempt: int = 1, **decoding: Any) -> bool:  # noqa: ANN401
        """True if the answer is in the ledger."""
        return self._ledger.has(to_attempt(to_request(self._model, messages, decoding), attempt).key)

    def show_spend(self) -> str:
        """Cost so far, if the model's price is known."""
        return self._budget.show()


class BatchRun:
    """One run of the Batch API over all candidates.

    Args:
        settings: settings of the writer.
        ledger: the open ledger.
        folder: state of the batches.
        log: called with each line of progress.
    """

    def __init__(self, settings: WriterSettings, ledger: Ledger, folder: Path, log: Log) -> None:
        assert settings.endpoint is not None, "batches need an endpoint"
        self._settings, self._endpoint, self._ledger, self._log = settings, settings.endpoint, ledger, log
        self._limits = settings.batches
        self._folder = BatchFolder(folder)
        self._budget = Budget(self._endpoint.model, self._endpoint.max_cost_usd, ledger.totals().usd, share=BATCH_SHARE)
        self._use_max_completion_tokens = False
        self.failures: dict[str, RequestFailed] = {}

    async def answer(self, load: Callable[[], Iterator[Sequence[Candidate]]]) -> BatchAnswers:
        """Send the requests of all candidates and store the answers, within the limit of rounds.

        Args:
            load: iterates over the candidates, shard by shard; called once for each round.

        Raises:
            EndpointUnusable: no batch can succeed, or the next one could exceed the cost limit.
        """
        transport = self._endpoint.connect()
        where = f"{self._endpoint.base_url}, model {self._endpoint.model!r}"
        self._api = BatchApi(transport, where, self._endpoint.max_attempts)
        try:
            await self._finish_open()
            for _ in range(self._limits.max_rounds):
                if not await self._ask_rest(load):
                    break
        except RequestFailed as failure:
            raise EndpointUnusable(
                f"{where}: {failure}; run the same command again later; created batches continue on the server"
            ) from failure
        finally:
            await transport.close()
        return BatchAnswers(self._endpoint.model, self._ledger, self._budget, self.failures)

    async def _ask_rest(self, load: Callable[[], Iterator[Sequence[Candidate]]]) -> bool:
        """One round over the unanswered requests: write, send, read; False if there were none."""
        file: BatchFile | None = None
        seen: set[str] = set()
        any_sent = False
        shards = load()
        while (shard := await asyncio.to_thread(next, shards, None)) is not None:
            for asked, line, worst_case_usd in await asyncio.to_thread(self._lines, shard, seen):
                if file is not None and not file.has_room(
                    len(line), self._limits.max_requests, self._limits.max_size_bytes
                ):
                    await self._send(file.close())
                    file = None
                file = file or self._folder.new_file()
                file.add(asked, line, worst_case_usd)
                any_sent = True
        if file is not None:
            await self._send(file.close())
        await self._finish_open()
        return any_sent

    def _lines(self, shard: Sequence[Candidate], seen: set[str]) -> list[tuple[Asked, bytes, float]]:
        """Request, line and cost bound of each unanswered request, deduplicated by key."""
        lines: list[tuple[Asked, bytes, float]] = []
        for candidate in shard:
            named = to_request_messages(candidate, self._settings, image_name)
            wanted = self._wanted(candidate, named)
            if wanted is None or wanted[0].key in seen:
                continue
            asked, request = wanted
            seen.add(asked.key)
            body = request | {"messages": to_request_messages(candidate, self._settings, image_url)}
            body = rename_max_tokens(body) if self._use_max_completion_tokens else body
            line = {"custom_id": asked.key, "method": "POST", "url": "/v1/chat/completions", "body": body}
            lines.append((asked, to_body(line) + b"\n", self._budget.worst_case_usd(request)))
        return lines

    def _wanted(self, candidate: Candidate, named: Messages) -> tuple[Asked, dict[str, Any]] | None:
        """The request of a candidate to send: of the first attempt that is neither readable nor failed for good."""
        for attempt in range(1, self._settings.attempts + 1):
            for max_tokens in (self._settings.max_tokens, 2 * self._settings.max_tokens):
                decoding = {"temperature": self._settings.temperature, "max_tokens": max_tokens}
                request = to_request(self._endpoint.model, named, decoding)
                doubled = to_attempt(request | {"max_tokens": 2 * self._settings.max_tokens}, attempt)
                asked = to_attempt(request, attempt)
                known = self._ledger.find(asked.key) or self._ledger.find(doubled.key)
                failure = self.failures.get(asked.key)
                if known is not None:
                    if is_readable(candidate, read_reply(known, from_ledger=True).text):
                        return None
                    break  # the next attempt
                if failure is None or isinstance(failure, RetryableFailure):
                    return asked, request
                if failure.reason != "length":
                    if failure.reason not in UNUSABLE:
                        return None
                    break
        return None

    async def _send(self, batch: Batch | None) -> None:
        """Upload and create a batch, resuming at its state; near the cost limit, wait for other batches first."""
        if batch is None or batch.stage == "created":
            return
        while not self._budget.has_room(batch.most_usd + self._in_flight_usd()):
            if not self._in_flight():
                raise self._budget.limit_error(batch.most_usd)
            await self._finish_first()
        if batch.stage == "written":
            batch = self._folder.save(
                batch, stage="uploaded", file_id=await self._api.upload(self._folder.requests(batch))
            )
        assert batch.file_id is not None, "an uploaded batch has a file"
        batch_id = await self._api.create(batch.file_id, batch.mark)
        self._folder.save(batch, stage="created", batch_id=batch_id)
        self._log(f"batch {batch_id}: {batch.num_requests:,} requests sent")

    def _in_flight(self) -> list[Batch]:
        return [batch for batch in self._folder.open_batches() if batch.stage == "created"]

    def _in_flight_usd(self) -> float:
        return sum(batch.most_usd for batch in self._in_flight())

    async def _finish_open(self) -> None:
        """Send and read all open batches."""
        while batches := self._folder.open_batches():
            for batch in batches:
                await self._send(batch)
            await self._finish_first()

    async def _finish_first(self) -> None:
        """Poll the batches in flight until at least one has ended, and read those."""
        wait_s, logged = _POLL_MIN_S, ""
        while True:
            states = [(batch, await self._api.status(batch.batch_id or "")) for batch in self._in_flight()]
            ended = [(batch, state) for batch, state in states if state.get("status") in ENDED]
            for batch, state in ended:
                await self._read(batch, state)
            if ended or not states:
                return
            counts = [state.get("request_counts") or {} for _, state in states]
            line = (
                f"{len(states)} batches in flight: {sum(count.get('completed') or 0 for count in counts):,} of "
                f"{sum(batch.num_requests for batch, _ in states):,} answered, {self._budget.spent_usd:.4f} USD before"
            )
            if line != logged:
                self._log(line)
                logged, wait_s = line, _POLL_MIN_S
            await asyncio.sleep(wait_s)
            wait_s = min(_POLL_MAX_S, 2 * wait_s)

    async def _read(self, batch: Batch, state: Any) -> None:  # noqa: ANN401  (JSON)
        """Store the answers of an ended batch in the ledger."""
        if state["status"] == "failed":
            await self._read_refusal(batch, (state.get("errors") or {}).get("data") or [])
            return
        asked, at = self._folder.asked(batch), float(state.get("completed_at") or state.get("created_at") or 0)
        stored: list[asyncio.Future[None]] = []
        left = set(asked)
        for kind in ("output", "error"):
            file_id = state.get(f"{kind}_file_id")
            if not file_id:
                continue
            path = self._folder.answers(batch, kind)
            await self._api.download(file_id, path)
            for line in await asyncio.to_thread(list, read_lines(path)):
                key = str(line.get("custom_id"))
                if key in left:
                    left.discard(key)
                    stored.append(asyncio.wrap_future(self._store(asked[key], line, at)))
        for key in left:
            self.failures[key] = RetryableFailure(
                "no_answer", f"batch {batch.batch_id} ended {state['status']} without it", None
            )
        await asyncio.gather(*stored)
        self._folder.save(batch, stage="merged")
        self._log(
            f"batch {batch.batch_id} {state['status']}: {len(asked) - len(left):,} of {len(asked):,} answered, "
            f"{self._budget.spent_usd:.4f} USD so far"
        )

    def _store(self, asked: Asked, line: dict[str, Any], at: float) -> Any:  # noqa: ANN401  (a future)
        """Store one line of a batch's output: an answer, or a failure with its reason."""
        usd, response = 0.0, line.get("response")
        body = response.get("body") if isinstance(response, dict) else None
        body = body if isinstance(body, dict) else {}
        try:
            if not isinstance(response, dict):
                said = line.get("error")
                error = said if isinstance(said, dict) else {"message": said}
                raise RetryableFailure(str(error.get("code") or "no_answer"), str(error.get("message")), None)
            answered = HttpResponse(_to_status(response.get("status_code")), {}, json.dumps(body).encode())
            raw = read_completion(answered, body, f"{self._endpoint.base_url}, model {self._endpoint.model!r}")
            usd = self._budget.spend(read_usage(raw), self._budget.worst_case_usd(json.loads(asked.text)))
            read_reply(raw, from_ledger=False)
        except RequestFailed as failure:
            if rejects_max_tokens(body):
                self._use_max_completion_tokens = True
                failure = RetryableFailure(failure.reason, failure.detail, None)
            self.failures[asked.key] = failure
            return self._ledger.store_failure(asked, failure.reason, failure.detail, usd, at)
        return self._ledger.store(asked, answered.body.decode("utf-8"), usd)

    async def _read_refusal(self, batch: Batch, errors: Sequence[dict[str, Any]]) -> None:
        """A batch that the server rejected: retried later if its queue is full, else the run stops."""
        codes = {str(error.get("code")) for error in errors}
        if "token_limit_exceeded" in codes:  # the server's queue is full
            self._folder.save(batch, stage="uploaded", batch_id=None, mark=f"{batch.mark[:32]}-{batch.batch_id}")
            self._log(f"batch {batch.batch_id} is postponed: {errors[0].get('message')}")
            await asyncio.sleep(_POLL_MIN_S if self._in_flight() else _POLL_MAX_S)
            return
        self._folder.save(batch, stage="refused")
        reasons = "; ".join(f"{error.get('message')} (line {error.get('line')})" for error in errors[:3])
        raise EndpointUnusable(
            f"{self._endpoint.base_url} refused a batch of {batch.num_requests:,} requests: "
            f"{reasons or 'no reason given'}; nothing was paid for it"
        )


def _to_status(value: object) -> int:
    """An HTTP status, 0 for what is none."""
    return value if isinstance(value, int) else int(value) if isinstance(value, str) and value.isdecimal() else 0
