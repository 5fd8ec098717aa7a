"""Writer `openai-batch`: requests through the Batch API at half the price, answers into the ledger.

A run first resumes the open batches of earlier runs, then sends unanswered requests in files of at most 50,000 requests
and 200 MB; failed and expired requests are sent again in further rounds. Afterwards the dialogues are written from the
ledger, as with `openai`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.batch_api import ENDED, BatchApi
from mmcr_dataset.endpoint.batch_folder import Batch, BatchFile, BatchFolder
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
from mmcr_dataset.endpoint.reply import RetryableFailure, read_reply
from mmcr_dataset.generate.batch_reader import BatchReader, to_counts
from mmcr_dataset.generate.dialogues import to_request_messages
from mmcr_dataset.generate.estimate import BATCH_SHARE
from mmcr_dataset.generate.parse import is_readable
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.generate.writing import UNUSABLE, image_name, image_url

_POLL_MIN_S, _POLL_MAX_S = 0.2, 30.0
_MAX_WAIT_S = 30 * 3600.0  # a batch ends within 24 hours, or never
_MAX_LOOKS = 7  # at a batch that the server doesn't know, or whose file isn't there: half a minute
_LATE_S = 3600.0  # a file that isn't there so long after the batch was completed will not come
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
        self._folder = BatchFolder(folder, self._endpoint.base_url, self._endpoint.model)
        self._budget = Budget(self._endpoint.model, self._endpoint.max_cost_usd, ledger.totals().usd, share=BATCH_SHARE)
        self._max_requests = self._limits.max_requests
        self._looks: Counter[int] = Counter()

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
        self._reader = BatchReader(self._api, self._folder, self._ledger, where, self._log)
        self.failures = self._reader.failures
        try:
            await self._settle_foreign()
            await self._finish_open()
            num_rounds = 0
            while num_rounds < self._limits.max_rounds:
                max_requests = self._max_requests
                if not await self._ask_rest(load):
                    break
                num_rounds += self._max_requests == max_requests  # smaller files are no further attempt
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
                if file is not None and not file.has_room(len(line), self._max_requests, self._limits.max_size_bytes):
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
            body = rename_max_tokens(body) if self._reader.use_max_completion_tokens else body
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
        is_resumed = batch.stage == "uploaded"
        if batch.stage == "written":
            batch = self._folder.save(
                batch, stage="uploaded", file_id=await self._api.upload(self._folder.requests(batch))
            )
        assert batch.file_id is not None, "an uploaded batch has a file"
        try:
            batch_id = await self._api.create(batch.file_id, batch.mark)
        except RequestFailed as failure:
            if not is_resumed or failure.reason != "http_400":
                raise
            self._folder.save(batch, stage="refused")
            self._log(f"file {batch.file_id} makes no batch any more ({failure.detail}): its requests are sent anew")
            return
        self._folder.save(batch, stage="created", batch_id=batch_id)
        self._log(f"batch {batch_id}: {batch.num_requests:,} requests sent")

    def _model_of(self, batch: Batch) -> str:
        """The model that a batch asks; from its requests in a state of version 0.1."""
        if batch.model is not None:
            return batch.model
        first = next(iter(self._folder.asked(batch).values()), None)
        return self._endpoint.model if first is None else str(json.loads(first.text).get("model"))

    def _is_ours(self, batch: Batch) -> bool:
        is_here = batch.base_url in (None, self._endpoint.base_url)
        return is_here and self._model_of(batch) == self._endpoint.model

    def _open_batches(self) -> list[Batch]:
        return [batch for batch in self._folder.open_batches() if self._is_ours(batch)]

    def _in_flight(self) -> list[Batch]:
        return [batch for batch in self._open_batches() if batch.stage == "created"]

    def _in_flight_usd(self) -> float:
        return sum(batch.most_usd for batch in self._folder.open_batches() if batch.stage == "created")

    async def _settle_foreign(self) -> None:
        """Batches of another endpoint or model: ended ones are read at their price, files not sent are dropped."""
        for batch in self._folder.open_batches():
            if self._is_ours(batch):
                continue
            name = f"batch {batch.batch_id or batch.number} of {batch.base_url or 'an earlier run'}, "
            name += f"model {self._model_of(batch)!r},"
            if batch.base_url not in (None, self._endpoint.base_url):
                self._log(f"{name} is left as it is; run with that endpoint to read it")
                continue
            batch_id = await self._api.find(batch.mark) if batch.stage == "uploaded" else batch.batch_id
            if batch_id is None:
                self._folder.save(batch, stage="refused")
                self._log(f"{name} was never sent and is dropped")
                continue
            batch = self._folder.save(batch, stage="created", batch_id=batch_id)
            state = await self._api.status(batch_id)
            if state is not None and state.get("status") in ENDED and await self._read(batch, state):
                continue
            self._log(f"{name} is out; run with that model to wait for it")

    async def _finish_open(self) -> None:
        """Send and read all open batches."""
        while batches := self._open_batches():
            for batch in batches:
                await self._send(batch)
            await self._finish_first()

    async def _finish_first(self) -> None:
        """Poll the batches in flight until at least one has ended, and read those."""
        wait_s, logged, started = _POLL_MIN_S, "", time.monotonic()
        while True:
            states = [(batch, await self._api.status(batch.batch_id or "")) for batch in self._in_flight()]
            ended = [(batch, state) for batch, state in states if state is None or state.get("status") in ENDED]
            if any([await self._finish(batch, state) for batch, state in ended]) or not states:
                return
            if time.monotonic() - started > _MAX_WAIT_S:
                raise EndpointUnusable(
                    f"{self._endpoint.base_url}: no batch ended in {_MAX_WAIT_S / 3600:.0f} hours; look at them on the "
                    "server, cancel those that hang, and run the same command again"
                )
            done = sum(to_counts(state or {}).get("completed") or 0 for _, state in states)
            line = (
                f"{len(states)} batches in flight: {done:,} of {sum(batch.num_requests for batch, _ in states):,} "
                f"answered, {self._budget.spent_usd:.4f} USD before"
            )
            if line != logged:
                self._log(line)
                logged, wait_s = line, _POLL_MIN_S
            await asyncio.sleep(wait_s)
            wait_s = min(_POLL_MAX_S, 2 * wait_s)

    async def _finish(self, batch: Batch, state: Mapping[str, Any] | None) -> bool:
        """Do what the server says about an ended batch; False if it must be looked at again."""
        if state is not None and await self._read(batch, state):
            return True
        self._looks[batch.number] += 1
        if self._looks[batch.number] < _MAX_LOOKS:
            return False
        if state is None:
            found = await self._api.find(batch.mark)
            if found is not None and found != batch.batch_id:
                self._folder.save(batch, batch_id=found)
                return False
            why = "is not known to the server any more"
        else:
            why = f"ended {state.get('status')}, but its file is not there"
            completed_at = state.get("completed_at")
            if isinstance(completed_at, (int, float)) and 0 <= time.time() - completed_at < _LATE_S:
                raise EndpointUnusable(f"batch {batch.batch_id} {why} yet; run the same command again later")
        self._folder.save(batch, stage="refused")
        self._log(f"batch {batch.batch_id} {why}: its {batch.num_requests:,} requests are asked again")
        return True

    async def _read(self, batch: Batch, state: Mapping[str, Any]) -> bool:
        """Store the answers of an ended batch in the ledger; False if they aren't there yet."""
        has_file = any(state.get(f"{kind}_file_id") for kind in ("output", "error"))
        if state["status"] == "failed" and not has_file:
            errors = state.get("errors")
            data = errors.get("data") if isinstance(errors, Mapping) else None
            found = [error for error in data if isinstance(error, Mapping)] if isinstance(data, list) else []
            await self._read_refusal(batch, found)
            return True
        is_read = await self._reader.read(batch, state, self._model_of(batch))
        self._budget.spent_usd = self._ledger.totals().usd
        return is_read

    async def _read_refusal(self, batch: Batch, errors: Sequence[Mapping[str, Any]]) -> None:
        """A batch that the server rejected: retried later or in smaller files if its queue is full, else a stop."""
        if not self._is_ours(batch):
            self._folder.save(batch, stage="refused")
            return
        reasons = "; ".join(f"{error.get('message')} (line {error.get('line')})" for error in errors[:3])
        is_full = "token_limit_exceeded" in {str(error.get("code")) for error in errors}
        if is_full and len(self._in_flight()) > 1:
            self._folder.save(batch, stage="uploaded", batch_id=None, mark=f"{batch.mark[:32]}-{batch.batch_id}")
            self._log(f"batch {batch.batch_id} is postponed: {reasons}")
            await asyncio.sleep(_POLL_MIN_S)
            return
        self._folder.save(batch, stage="refused")
        if is_full and batch.num_requests > 1:
            self._max_requests = min(self._max_requests, batch.num_requests // 2)
            self._log(f"batch {batch.batch_id} is larger than the queue, files of {self._max_requests:,}: {reasons}")
            return
        raise EndpointUnusable(
            f"{self._endpoint.base_url} refused a batch of {batch.num_requests:,} requests: "
            f"{reasons or 'no reason given'}; nothing was paid for it"
        )
