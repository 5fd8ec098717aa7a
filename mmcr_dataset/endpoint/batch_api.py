"""The Batch API of an OpenAI-compatible server: upload, create, find, poll, download.

Creating a batch is what costs, so it is idempotent: a batch carries a unique mark in its metadata, and `create` looks
for the mark first, because an earlier attempt may have succeeded without its answer (kill, timeout, lost connection).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from mmcr_dataset.endpoint.reply import RetryableFailure, read_completion, read_object
from mmcr_dataset.endpoint.transport import HttpResponse, RequestFailed, Transport

_MARK = "mmcr_mark"
ENDED = ("completed", "failed", "expired", "cancelled")


class BatchApi:
    """The calls, each with up to `max_attempts` attempts and exponential backoff.

    All raise RequestFailed after the last attempt, and EndpointUnusable when no request can succeed there.
    """

    def __init__(self, transport: Transport, where: str, max_attempts: int) -> None:
        self._transport, self._where, self._max_attempts = transport, where, max_attempts

    async def upload(self, path: Path) -> str:
        """Upload a file of requests; returns its id."""
        return _id_of(await self._object(lambda: self._transport.upload(path)))

    async def create(self, file_id: str, mark: str) -> str:
        """Create a batch of an uploaded file unless one with this mark exists; returns its id."""
        request = {
            "input_file_id": file_id,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {_MARK: mark},
        }
        for attempt in range(1, self._max_attempts + 1):
            found = await self.find(mark)
            if found is not None:
                return found
            try:
                answered = await self._transport.post_json("/batches", json.dumps(request).encode())
                return _id_of(read_batch_object(answered, self._where))
            except RequestFailed as failure:
                await self._pause(failure, attempt)
        raise AssertionError("unreachable: the loop returns or raises")

    async def find(self, mark: str) -> str | None:
        """Id of the batch with a mark, None if there is none."""
        after = ""
        while True:
            page = await self._get(f"/batches?limit=100{after}")
            data = page.get("data")
            batches = (
                [one for one in data if isinstance(one, Mapping) and one.get("id")] if isinstance(data, list) else []
            )
            for batch in batches:
                metadata = batch.get("metadata")
                if isinstance(metadata, Mapping) and metadata.get(_MARK) == mark:
                    return str(batch["id"])
            following = f"&after={batches[-1]['id']}" if batches else after
            if not page.get("has_more") or following == after:  # a page that repeats itself is the last
                return None
            after = following

    async def status(self, batch_id: str) -> Mapping[str, Any] | None:
        """The batch object as the server has it now; None if the server has no such batch."""
        is_gone = False

        async def look() -> HttpResponse:
            nonlocal is_gone
            answered = await self._transport.get(f"/batches/{batch_id}")
            is_gone = answered.status == 404
            return answered._replace(status=200, body=b"{}") if is_gone else answered

        state = await self._object(look)
        return None if is_gone else state

    async def download(self, file_id: str, to: Path) -> bool:
        """Stream a file of answers to disk; False if the server has no such file (yet)."""
        is_there = True

        async def fetch() -> HttpResponse:
            nonlocal is_there
            answered = await self._transport.download(file_id, to)
            is_there = answered.status != 404
            return answered._replace(status=200, body=b"{}") if answered.status in (200, 404) else answered

        await self._object(fetch)
        return is_there

    async def _get(self, path: str) -> dict[str, Any]:
        return await self._object(lambda: self._transport.get(path))

    async def _object(self, call: Callable[[], Awaitable[HttpResponse]]) -> dict[str, Any]:
        for attempt in range(1, self._max_attempts + 1):
            try:
                return read_batch_object(await call(), self._where)
            except RequestFailed as failure:
                await self._pause(failure, attempt)
        raise AssertionError("unreachable: the loop returns or raises")

    async def _pause(self, failure: RequestFailed, attempt: int) -> None:
        may_help = isinstance(failure, RetryableFailure) or failure.reason in ("timeout", "connection")
        if not may_help or attempt == self._max_attempts:
            raise failure
        wait_s = failure.wait_s if isinstance(failure, RetryableFailure) else None
        await asyncio.sleep(min(30.0, 0.5 * 2**attempt) if wait_s is None else wait_s)


def _id_of(raw: Mapping[str, Any]) -> str:
    if not raw.get("id"):
        raise RetryableFailure("bad_reply", f"expected an object with an id, got {str(raw)[:80]}", None)
    return str(raw["id"])


def read_batch_object(answered: HttpResponse, where: str) -> dict[str, Any]:
    """The JSON object of a response of the Batch API; raises as `read_completion` does for an error."""
    raw = read_object(answered)
    if answered.status == 200 and "id" in raw:  # a failed batch has `errors` too, but the request succeeded
        return raw
    return read_completion(answered, raw, where)
