"""HTTP transport to an OpenAI-compatible server or Azure through the `openai` SDK: one attempt of one call.

The SDK only carries bytes: its retries are off and its response models are not built. reply.py interprets responses;
rate limit, budget and ledger belong to client.py. A call over aiohttp takes half the CPU of the SDK's default client.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_CONNECT_S = 30.0
_UPLOAD_S = 3600.0
_KEEPALIVE_S = 15.0
_KEY_MIN_CHARACTERS = 8  # a shorter one is a placeholder such as "none", and a word of many answers
_HIDDEN = b"[key]"
_JSON: Any = {"headers": {"Content-Type": "application/json"}}


class RequestFailed(RuntimeError):
    """This request got no answer.

    Args:
        reason: a short name, for counting.
        detail: the message.
        maybe_billed: True if the server may have made an answer that did not arrive.
    """

    def __init__(self, reason: str, detail: str, maybe_billed: bool = False) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.maybe_billed = maybe_billed


class HttpResponse(NamedTuple):
    """An HTTP response whose body was read."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """HTTP client of one server; create and close it inside a running event loop.

    Args:
        base_url: of the server; with `api_version` the address of an Azure resource.
        api_key: None reads OPENAI_API_KEY, for Azure AZURE_OPENAI_API_KEY.
        timeout_s: timeout of one attempt.
        api_version: selects Azure: paths by deployment, `api-version` in the query, the key in the header `api-key`.
        deployment: name of the model's deployment at Azure.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        timeout_s: float,
        api_version: str | None = None,
        deployment: str | None = None,
    ) -> None:
        openai, httpx = _import_sdk()
        self._timeout_s = timeout_s
        self._keys: list[bytes] = []
        self._response: Any = httpx.Response
        self._connection_errors = (TimeoutError, openai.APIConnectionError, httpx.TransportError)
        limits = httpx.Limits(max_connections=0, keepalive_expiry=_KEEPALIVE_S)  # 0: the rate limiter decides how many
        shared: dict[str, Any] = {
            "max_retries": 0,
            "timeout": openai.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
            "http_client": openai.DefaultAioHttpClient(limits=limits, follow_redirects=False),
        }
        self._client: AsyncOpenAI
        if api_version is None:
            open_key = self._known(api_key or os.environ.get("OPENAI_API_KEY"), "OPENAI_API_KEY")
            self._client = openai.AsyncOpenAI(base_url=base_url, api_key=open_key or "none", **shared)
        else:
            key = self._known(api_key or os.environ.get("AZURE_OPENAI_API_KEY"), "AZURE_OPENAI_API_KEY")
            token = self._known(os.environ.get("AZURE_OPENAI_AD_TOKEN"), "AZURE_OPENAI_AD_TOKEN")
            self._client = openai.AsyncAzureOpenAI(
                azure_endpoint=base_url,
                azure_deployment=deployment,
                api_version=api_version,
                api_key=key or (None if token else "none"),
                azure_ad_token=token,
                **shared,
            )

    def _known(self, key: str | None, variable: str) -> str | None:
        """The key without white space, remembered so that no answer that repeats it is kept."""
        cleaned = clean_key(key, variable)
        if cleaned is not None and len(cleaned) >= _KEY_MIN_CHARACTERS:
            self._keys.append(cleaned.encode("ascii"))
        return cleaned

    def _hide_keys(self, body: bytes) -> bytes:
        """The body with each key replaced: some servers repeat the Authorization header in their errors."""
        for key in self._keys:
            body = body.replace(key, _HIDDEN)
        return body

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def post_json(self, path: str, body: bytes) -> HttpResponse:
        """One POST of a JSON body; `path` begins with a slash and is relative to the base address.

        Raises:
            RequestFailed: with the reason timeout or connection.
        """
        return await self._try(
            self._client.post(path, content=body, cast_to=self._response, options=_JSON), self._timeout_s
        )

    async def get(self, path: str) -> HttpResponse:
        """One GET; raises as `post_json` does."""
        return await self._try(self._client.get(path, cast_to=self._response), self._timeout_s)

    async def upload(self, path: Path) -> HttpResponse:
        """Stream a file of batch requests to the server; raises as `post_json` does."""
        with path.open("rb") as file:
            named = (path.name, file, "application/jsonl")
            create = self._client.files.with_raw_response.create
            return await self._try(create(file=named, purpose="batch", timeout=_UPLOAD_S), _UPLOAD_S)

    async def download(self, file_id: str, to: Path) -> HttpResponse:
        """Stream a file of answers to disk; raises as `post_json` does."""
        return await self._try(self._stream(file_id, to), None)

    async def _stream(self, file_id: str, to: Path) -> Any:  # noqa: ANN401  (a response whose body is on disk)
        async with self._client.files.with_streaming_response.content(file_id) as response:
            left, keep = b"", max(map(len, self._keys), default=1) - 1
            with to.open("wb") as file:
                async for chunk in response.iter_bytes(1 << 20):
                    text = self._hide_keys(left + chunk)
                    cut = max(0, len(text) - keep)  # what may be the beginning of a key waits for the next chunk
                    left = text[cut:]
                    await asyncio.to_thread(file.write, text[:cut])
                file.write(left)
        return self._response(200, headers=response.headers)

    async def _try(self, call: Awaitable[Any], limit_s: float | None) -> HttpResponse:
        """The response to a call, whatever its status; with `limit_s` None only the timeout of each read applies."""
        import openai

        try:
            async with asyncio.timeout(limit_s):
                response = await call
        except openai.APIStatusError as error:
            response = error.response
        except self._connection_errors as error:
            cause = _root(error)
            if isinstance(cause, TimeoutError):
                raise RequestFailed("timeout", f"no answer in {limit_s or self._timeout_s:g} s", True) from error
            raise RequestFailed(
                "connection", f"{type(cause).__name__}: {cause}", maybe_billed=not _is_unconnected(error)
            ) from error
        return HttpResponse(response.status_code, response.headers, self._hide_keys(response.content))


def clean_key(key: str | None, variable: str) -> str | None:
    """A key without the white space around it; None if there is none.

    Raises:
        ValueError: it has characters that no header may hold; the message names the variable, never the key.
    """
    key = (key or "").strip()
    if not key:
        return None
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError(
            f"{variable}: the key holds a space, a line break or what is not ASCII ({len(key)} characters); "
            "set the variable to the key alone"
        )
    return key


def _root(error: BaseException) -> BaseException:
    """The root cause: the SDK and httpx map some of aiohttp's errors wrongly (a closed connection to a timeout)."""
    while error.__cause__ is not None and not isinstance(error, TimeoutError):
        error = error.__cause__
    return error


def _is_unconnected(error: BaseException | None) -> bool:
    """True if no connection was made, so that the server has seen no request."""
    import aiohttp

    while error is not None:
        if isinstance(error, (aiohttp.ClientConnectorError, ConnectionRefusedError)):
            return True
        error = error.__cause__
    return False


def _import_sdk() -> tuple[Any, Any]:
    """The SDK and the httpx that it is built on, a different package since version 3.

    Raises:
        ValueError: the SDK is not installed.
    """
    try:
        import openai
    except ImportError as error:
        raise ValueError(f"asking an endpoint needs the openai SDK: pip install -e '.[dataset]' ({error})") from error
    client = next(kind for kind in openai.DefaultAioHttpClient.__mro__ if kind.__name__ == "AsyncClient")
    return openai, importlib.import_module(client.__module__.partition(".")[0])
