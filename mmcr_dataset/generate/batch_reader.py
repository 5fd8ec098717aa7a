"""Read what a server answered to a batch into the ledger; every line of it is foreign and may be anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from mmcr_dataset.endpoint.batch_api import BatchApi
from mmcr_dataset.endpoint.batch_folder import Batch, BatchFolder, read_lines
from mmcr_dataset.endpoint.budget import Budget, EndpointUnusable
from mmcr_dataset.endpoint.client import RequestFailed
from mmcr_dataset.endpoint.ledger import Asked, Ledger
from mmcr_dataset.endpoint.reply import RetryableFailure, read_completion, read_reply, read_usage, rejects_max_tokens
from mmcr_dataset.endpoint.transport import HttpResponse
from mmcr_dataset.generate.estimate import BATCH_SHARE


class BatchReader:
    """Stores the answers of ended batches.

    Args:
        api: the server.
        folder: state of the batches.
        ledger: the open ledger.
        where: the server's address, for messages.
        log: called with each line of progress.

    Attributes:
        failures: failed requests, by key.
        use_max_completion_tokens: the model wants the newer name of the limit.
    """

    def __init__(
        self, api: BatchApi, folder: BatchFolder, ledger: Ledger, where: str, log: Callable[[str], None]
    ) -> None:
        self._api, self._folder, self._ledger, self._where, self._log = api, folder, ledger, where, log
        self.failures: dict[str, RequestFailed] = {}
        self.use_max_completion_tokens = False

    async def read(self, batch: Batch, state: Mapping[str, Any], model: str) -> bool:
        """Store every line of an ended batch at the price of its model; False if its files aren't there yet."""
        files = {kind: str(state[f"{kind}_file_id"]) for kind in ("output", "error") if state.get(f"{kind}_file_id")}
        if state.get("status") == "completed" and _num_missing_files(state, files):
            return False
        for kind, file_id in files.items():
            if not await self._api.download(file_id, self._folder.answers(batch, kind)):
                return False
        asked, at = self._folder.asked(batch), _to_seconds(state.get("completed_at") or state.get("created_at"))
        budget = Budget(model, None, 0.0, share=BATCH_SHARE)
        stored: list[Future[None]] = []
        seen: set[str] = set()
        num_odd = 0
        for kind in files:
            for number, line in await asyncio.to_thread(list, read_lines(self._folder.answers(batch, kind))):
                request = asked.get(str(line.get("custom_id"))) if line is not None else None
                if line is None or request is None:
                    num_odd += 1
                    continue
                seen.add(request.key)
                place = f"{batch.batch_id} {kind} {number}"
                stored.append(self._store(request, line, at + number * 1e-3, place, budget))
        await asyncio.gather(*map(asyncio.wrap_future, stored))
        for key in asked.keys() - seen:
            said = f"batch {batch.batch_id} ended {state.get('status')} without it"
            self.failures[key] = RetryableFailure("no_answer", said, None)
        for key in asked.keys() & self.failures.keys():
            if self._ledger.has(key):
                del self.failures[key]
        self._folder.save(batch, stage="merged")
        odd = f", {num_odd:,} lines that name no request of it" if num_odd else ""
        self._log(f"batch {batch.batch_id} {state.get('status')}: {len(seen):,} of {len(asked):,} answered{odd}")
        return True

    def _store(self, asked: Asked, line: Mapping[str, Any], at: float, payment: str, budget: Budget) -> Future[None]:
        """Store one line: an answer, or a failure of this request with its reason and the line as it came."""
        response = line.get("response")
        status = _to_status(response.get("status_code")) if isinstance(response, Mapping) else 0
        body = response.get("body") if isinstance(response, Mapping) else None
        worst_case_usd = budget.worst_case_usd(json.loads(asked.text))
        usd = 0.0
        try:
            if not isinstance(response, Mapping):
                raise _failure_of(line.get("error"))
            if not isinstance(body, dict):
                usd = worst_case_usd if status == 200 else 0.0  # an answer was made, what it cost is not said
                raise RetryableFailure(f"http_{status}" if status != 200 else "bad_reply", str(body)[:200], None)
            sent = json.dumps(body)
            raw = read_completion(HttpResponse(status, {}, sent.encode()), body, self._where)
            usd = budget.cost_usd(read_usage(raw), worst_case_usd)
            read_reply(raw, from_ledger=False)
        except EndpointUnusable as error:  # of one line: the batch itself was taken and answered
            failure: RequestFailed = RetryableFailure(f"http_{status}", str(error), None)
        except RequestFailed as error:
            failure = error
        except (AttributeError, TypeError, ValueError, KeyError, RecursionError) as error:
            failure = RequestFailed("unreadable_line", f"{type(error).__name__}: {error}")
        else:
            return self._ledger.store(asked, sent, usd, payment)
        if isinstance(body, dict) and rejects_max_tokens(body):
            self.use_max_completion_tokens = True
            failure = RetryableFailure(failure.reason, failure.detail, None)
        self.failures[asked.key] = failure
        detail = f"{failure.detail[:500]}; the line as it came: {json.dumps(line)}"
        return self._ledger.store_failure(asked, failure.reason, detail, usd, at, payment)


def _num_missing_files(state: Mapping[str, Any], files: Mapping[str, str]) -> int:
    """Number of files that the counts of a completed batch promise and that aren't named yet."""
    counts = to_counts(state)
    named = {"output": counts.get("completed"), "error": counts.get("failed")}
    missing = sum(bool(count) and kind not in files for kind, count in named.items())
    return missing or int(not files)


def to_counts(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request counts of a batch; empty where the server reports none."""
    counts = state.get("request_counts")
    return {name: n for name, n in counts.items() if isinstance(n, int)} if isinstance(counts, Mapping) else {}


def _failure_of(error: object) -> RequestFailed:
    named = error if isinstance(error, Mapping) else {"message": error}
    return RetryableFailure(str(named.get("code") or "no_answer"), str(named.get("message")), None)


def _to_status(value: object) -> int:
    """An HTTP status, 0 for what is none."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) == 3 else 0


def _to_seconds(value: object) -> float:
    """Seconds since 1970, 0 for what is no number."""
    try:
        seconds = float(str(value))
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < 1e17 else 0.0
