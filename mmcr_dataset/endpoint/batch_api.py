"""The Batch API of an OpenAI-compatible server: files up and down, batches made, found again and watched.

Making a batch is what costs. A batch carries a mark of ours, and before one is made a second time (after a kill, a
timeout, a lost connection) it is looked for by its mark.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from mmcr_dataset.endpoint.reply import Again, read_completion, read_object
from mmcr_dataset.endpoint.transport import Answered, RequestFailed, Wire

_MARK = "mmcr_mark"
ENDED = ("completed", "failed", "expired", "cancelled")


class BatchApi:
    """The calls; each is tried `max_attempts` times where that can help.

    All raise RequestFailed when they gave up, and EndpointUnusable when nothing can succeed there.
    """

    def __init__(self, wire: Wire, where: str, max_attempts: int) -> None:
        self._wire, self._where, self._max_attempts = wire, where, max_attempts

    async def upload(self, path: Path) -> str:
        """Send a file of requests; its id there."""
        return str((await self._object(lambda: self._wire.upload(path)))["id"])

    async def create(self, file_id: str, mark: str) -> str:
        """Make a batch of an uploaded file, unless one with this mark is there; its id."""
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
                answered = await self._wire.post_json("/batches", json.dumps(request).encode())
                return str(read_completion_like(answered, self._where)["id"])
            except RequestFailed as failure:
                await self._pause(failure, attempt)
        raise AssertionError("unreachable: the loop returns or raises")

    async def find(self, mark: str) -> str | None:
        """Id of the batch with a mark, None if there is none."""
        after = ""
        while True:
            page = await self._get(f"/batches?limit=100{after}")
            batches = page.get("data") or []
            for batch in batches:
                if (batch.get("metadata") or {}).get(_MARK) == mark:
                    return str(batch["id"])
            if not page.get("has_more") or not batches:
                return None
            after = f"&after={batches[-1]['id']}"

    async def look(self, batch_id: str) -> Mapping[str, Any]:
        """How a batch stands."""
        return await self._get(f"/batches/{batch_id}")

    async def download(self, file_id: str, to: Path) -> None:
        """Fetch a file of answers."""

        async def fetch() -> Answered:
            answered = await self._wire.download(file_id, to)
            return answered._replace(body=b"{}") if answered.status == 200 else answered

        await self._object(fetch)

    async def _get(self, path: str) -> dict[str, Any]:
        return await self._object(lambda: self._wire.get(path))

    async def _object(self, call: Callable[[], Awaitable[Answered]]) -> dict[str, Any]:
        for attempt in range(1, self._max_attempts + 1):
            try:
                return read_completion_like(await call(), self._where)
            except RequestFailed as failure:
                await self._pause(failure, attempt)
        raise AssertionError("unreachable: the loop returns or raises")

    async def _pause(self, failure: RequestFailed, attempt: int) -> None:
        may_help = isinstance(failure, Again) or failure.reason in ("timeout", "connection")
        if not may_help or attempt == self._max_attempts:
            raise failure
        wait_s = failure.wait_s if isinstance(failure, Again) else None
        await asyncio.sleep(min(30.0, 0.5 * 2**attempt) if wait_s is None else wait_s)


def read_completion_like(answered: Answered, where: str) -> dict[str, Any]:
    """The object of an answer of the Batch API; raises what `read_completion` raises for an error."""
    raw = read_object(answered)
    if answered.status == 200 and "id" in raw:  # a batch that failed has `errors`, and is an answer all the same
        return raw
    return read_completion(answered, raw, where)
