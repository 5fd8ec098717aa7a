"""A local chat server for benchmarks in another process: fixed latency, with a given rate of errors.

One event loop and almost no work per request, so that it is never the bottleneck. Every reply is a dialogue that
matches the images of its request. `chat_server(latency_s, error_share)` yields its URL.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_HEAD = "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"


def completion(num_images: int) -> bytes:
    """An HTTP response with a dialogue about `num_images` images."""
    lines = []
    for turn in range(1, (4 if num_images < 2 else 8) + 1):
        shown = f"<image {turn}> " if turn <= max(1, num_images) else ""
        named = min(turn, max(1, num_images))
        lines.append(f"< Human {turn} >: {shown}What does the part {turn} of it show, and how does it go on?")
        words = f"the part with number {turn} shows a fence, a field and a road that leads to a house. " * 8
        lines.append(f"< Assistant {turn} >: In image {named} {words}")
    message = {"role": "assistant", "content": "\n".join(lines), "refusal": None}
    body = {
        "id": "c",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "bench-vlm",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 2000, "completion_tokens": 900, "total_tokens": 2900},
    }
    return _show("200 OK", body)


def _show(status: str, body: object) -> bytes:
    data = json.dumps(body).encode()
    return _HEAD.format(status=status, size=len(data)).encode() + data


async def _serve(latency_s: float, error_share: float) -> None:
    answers = [completion(number) for number in range(5)]
    errors = [
        _show("429 Too Many Requests", {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}),
        _show("500 Internal Server Error", {"error": {"message": "oops", "code": None}}),
    ]
    chance = random.Random()  # unseeded: errors of the last requests determine the end of a run

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                body = await reader.readexactly(size)
                await asyncio.sleep(latency_s)
                fails = chance.random() < error_share
                writer.write(chance.choice(errors) if fails else answers[body.count(b"data:image/")])
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=1 << 24, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


@contextmanager
def chat_server(latency_s: float, error_share: float = 0.0) -> Iterator[str]:
    """Start the server; yields its URL. Errors have the same latency as replies."""
    command = [sys.executable, "-m", "benchmarks.chat_server", str(latency_s), str(error_share)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), float(sys.argv[2])))
