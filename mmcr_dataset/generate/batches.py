"""Writer `openai-batch`: all requests through the Batch API at half the price, their answers into the ledger.

First the batches that an earlier run left open, then what is not answered yet, in files of at most 50,000 requests and
200 MB; what failed or expired goes into further batches, and only that. Afterwards the dialogues are made from the
ledger on the way that `openai` takes.
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
from mmcr_dataset.endpoint.client import Messages, Reply, RequestFailed, to_body, to_request, with_completion_tokens
from mmcr_dataset.endpoint.ledger import Asked, Ledger, to_asked
from mmcr_dataset.endpoint.reply import Again, read_completion, read_reply, wants_completion_tokens
from mmcr_dataset.endpoint.transport import Answered
from mmcr_dataset.generate.dialogues import image_name, image_url, to_request_messages
from mmcr_dataset.generate.estimate import BATCH_SHARE
from mmcr_dataset.generate.writer_settings import WriterSettings

_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.2, 30.0
Tell = Callable[[str], None]


class BatchAnswers:
    """Answers from the ledger, and for what isn't there the reason the batches gave."""

    def __init__(self, model: str, ledger: Ledger, budget: Budget, failures: dict[str, RequestFailed]) -> None:
        self._model, self._ledger, self._budget, self._failures = model, ledger, budget, failures

    async def ask(
        self,
        messages: Messages,
        with_images: Callable[[], Messages] | None = None,
        **decoding: Any,  # noqa: ANN401
    ) -> Reply:
        """The answer that is there; raises RequestFailed where there is none."""
        key = to_asked(to_request(self._model, messages, decoding)).key
        known = self._ledger.find(key)
        if known is None:
            raise self._failures.get(key) or RequestFailed("no_answer", "no batch had an answer to this request")
        return read_reply(known, from_ledger=True)

    def knows(self, messages: Messages, **decoding: Any) -> bool:  # noqa: ANN401
        """True if the answer is in the ledger."""
        return self._ledger.has(to_asked(to_request(self._model, messages, decoding)).key)

    def show_spend(self) -> str:
        """Money so far."""
        return f"{self._budget.spent_usd:.4f} USD" if self._budget.price else "price unknown"


class BatchRun:
    """One run over all candidates."""

    def __init__(self, settings: WriterSettings, ledger: Ledger, folder: Path, tell: Tell) -> None:
        assert settings.endpoint is not None, "batches need an endpoint"
        self._settings, self._endpoint, self._ledger, self._tell = settings, settings.endpoint, ledger, tell
        self._limits = settings.batches
        self._folder = BatchFolder(folder)
        self._budget = Budget(self._endpoint.model, self._endpoint.max_cost_usd, ledger.totals().usd, share=BATCH_SHARE)
        self._says_completion_tokens = False
        self.failures: dict[str, RequestFailed] = {}

    async def answer(self, load: Callable[[], Iterator[Sequence[Candidate]]]) -> BatchAnswers:
        """Have every candidate's request answered, as far as that is possible.

        Raises:
            EndpointUnusable: no batch can succeed, or the next could cross the limit of cost.
        """
        wire = self._endpoint.connect()
        where = f"{self._endpoint.base_url}, model {self._endpoint.model!r}"
        self._api = BatchApi(wire, where, self._endpoint.max_attempts)
        try:
            await self._finish_open()
            for _ in range(self._limits.max_rounds):
                if not await self._ask_rest(load):
                    break
        except RequestFailed as failure:
            raise EndpointUnusable(
                f"{where}: {failure}; run the same command again when it is back, batches that were made go on there"
            ) from failure
        finally:
            await wire.close()
        return BatchAnswers(self._endpoint.model, self._ledger, self._budget, self.failures)

    async def _ask_rest(self, load: Callable[[], Iterator[Sequence[Candidate]]]) -> bool:
        """One round: write, send and read what has no answer yet; False if there is nothing of the kind."""
        file: BatchFile | None = None
        seen: set[str] = set()
        asked_any = False
        shards = load()
        while (shard := await asyncio.to_thread(next, shards, None)) is not None:
            for asked, line, most_usd in await asyncio.to_thread(self._lines, shard, seen):
                if file is not None and not file.has_room(
                    len(line), self._limits.max_requests, self._limits.max_size_bytes
                ):
                    await self._send(file.close())
                    file = None
                file = file or self._folder.new_file()
                file.add(asked, line, most_usd)
                asked_any = True
        if file is not None:
            await self._send(file.close())
        await self._finish_open()
        return asked_any

    def _lines(self, shard: Sequence[Candidate], seen: set[str]) -> list[tuple[Asked, bytes, float]]:
        """The lines of the requests that are to be asked, each key once."""
        lines: list[tuple[Asked, bytes, float]] = []
        for candidate in shard:
            named = to_request_messages(candidate, self._settings, image_name)
            wanted = self._wanted(named)
            if wanted is None or wanted[0].key in seen:
                continue
            asked, request = wanted
            seen.add(asked.key)
            body = request | {"messages": to_request_messages(candidate, self._settings, image_url)}
            body = with_completion_tokens(body) if self._says_completion_tokens else body
            line = {"custom_id": asked.key, "method": "POST", "url": "/v1/chat/completions", "body": body}
            lines.append((asked, to_body(line) + b"\n", self._budget.most_usd(request)))
        return lines

    def _wanted(self, named: Messages) -> tuple[Asked, dict[str, Any]] | None:
        """The request that a candidate still needs: the one with twice the limit if the first was cut off."""
        for max_tokens in (self._settings.max_tokens, 2 * self._settings.max_tokens):
            decoding = {"temperature": self._settings.temperature, "max_tokens": max_tokens}
            request = to_request(self._endpoint.model, named, decoding)
            asked = to_asked(request)
            failure = self.failures.get(asked.key)
            if self._ledger.has(asked.key):
                return None
            if failure is None and max_tokens == self._settings.max_tokens:
                doubled = to_asked(request | {"max_tokens": 2 * max_tokens})
                return None if self._ledger.has(doubled.key) else (asked, request)
            if failure is None or isinstance(failure, Again):
                return asked, request
            if failure.reason != "length":
                return None
        return None

    async def _send(self, batch: Batch | None) -> None:
        """Bring a batch to the server, as far as it isn't there; near the limit of cost, wait for others first."""
        if batch is None or batch.stage == "created":
            return
        while not self._budget.has_room(batch.most_usd + self._out_usd()):
            if not self._out():
                raise self._budget.out_of_money(batch.most_usd)
            await self._finish_first()
        if batch.stage == "written":
            batch = self._folder.save(
                batch, stage="uploaded", file_id=await self._api.upload(self._folder.requests(batch))
            )
        assert batch.file_id is not None, "an uploaded batch has a file"
        batch_id = await self._api.create(batch.file_id, batch.mark)
        self._folder.save(batch, stage="created", batch_id=batch_id)
        self._tell(f"batch {batch_id}: {batch.num_requests:,} requests sent")

    def _out(self) -> list[Batch]:
        return [batch for batch in self._folder.open_batches() if batch.stage == "created"]

    def _out_usd(self) -> float:
        return sum(batch.most_usd for batch in self._out())

    async def _finish_open(self) -> None:
        """Send and read all batches that are open."""
        while batches := self._folder.open_batches():
            for batch in batches:
                await self._send(batch)
            await self._finish_first()

    async def _finish_first(self) -> None:
        """Watch the batches until one of them has ended, and read it."""
        wait_s, told = _FIRST_LOOK_S, ""
        while True:
            states = [(batch, await self._api.look(batch.batch_id or "")) for batch in self._out()]
            ended = [(batch, state) for batch, state in states if state.get("status") in ENDED]
            for batch, state in ended:
                await self._read(batch, state)
            if ended or not states:
                return
            counts = [state.get("request_counts") or {} for _, state in states]
            said = (
                f"{len(states)} batches out: {sum(count.get('completed') or 0 for count in counts):,} of "
                f"{sum(batch.num_requests for batch, _ in states):,} answered, {self._budget.spent_usd:.4f} USD before"
            )
            if said != told:
                self._tell(said)
                told, wait_s = said, _FIRST_LOOK_S
            await asyncio.sleep(wait_s)
            wait_s = min(_LONGEST_LOOK_S, 2 * wait_s)

    async def _read(self, batch: Batch, state: Any) -> None:  # noqa: ANN401  (JSON)
        """Put the answers of an ended batch into the ledger."""
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
            self.failures[key] = Again("no_answer", f"batch {batch.batch_id} ended {state['status']} without it", None)
        await asyncio.gather(*stored)
        self._folder.save(batch, stage="merged")
        self._tell(
            f"batch {batch.batch_id} {state['status']}: {len(asked) - len(left):,} of {len(asked):,} came back, "
            f"{self._budget.spent_usd:.4f} USD so far"
        )

    def _store(self, asked: Asked, line: dict[str, Any], at: float) -> Any:  # noqa: ANN401  (a future)
        """Keep one line of a batch: an answer, or a failure with its reason."""
        usd, response = 0.0, line.get("response")
        body = (response or {}).get("body") or {}
        try:
            if not isinstance(response, dict):
                error = line.get("error") or {}
                raise Again(str(error.get("code") or "no_answer"), str(error.get("message")), None)
            answered = Answered(int(response.get("status_code") or 0), {}, json.dumps(body).encode())
            raw = read_completion(answered, body, f"{self._endpoint.base_url}, model {self._endpoint.model!r}")
            usd = self._budget.spend(raw.get("usage") or {}, self._budget.most_usd(json.loads(asked.text)))
            read_reply(raw, from_ledger=False)
        except RequestFailed as failure:
            if wants_completion_tokens(body):
                self._says_completion_tokens = True
                failure = Again(failure.reason, failure.detail, None)
            self.failures[asked.key] = failure
            return self._ledger.store_failure(asked, failure.reason, failure.detail, usd, at)
        return self._ledger.store(asked, answered.body.decode("utf-8"), usd)

    async def _read_refusal(self, batch: Batch, errors: Sequence[dict[str, Any]]) -> None:
        """A batch that the server did not take: for want of room it waits, else the run ends."""
        codes = {str(error.get("code")) for error in errors}
        if "token_limit_exceeded" in codes:  # too much is queued: when others have ended there is room again
            self._folder.save(batch, stage="uploaded", batch_id=None, mark=f"{batch.mark[:32]}-{batch.batch_id}")
            self._tell(f"batch {batch.batch_id} has to wait: {errors[0].get('message')}")
            await asyncio.sleep(_FIRST_LOOK_S if self._out() else _LONGEST_LOOK_S)
            return
        self._folder.save(batch, stage="refused")
        said = "; ".join(f"{error.get('message')} (line {error.get('line')})" for error in errors[:3])
        raise EndpointUnusable(
            f"{self._endpoint.base_url} refused a batch of {batch.num_requests:,} requests: "
            f"{said or 'no reason given'}; nothing was paid for it"
        )
