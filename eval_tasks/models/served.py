"""A checkpoint behind a server that the run starts and stops: vLLM, SGLang or `transformers serve`."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from eval_tasks.models.chat_api_vlm import ChatApiVLM
from eval_tasks.models.checkpoint_revision import folder_revision
from eval_tasks.models.generation import GenerationSettings, LoadSettings, Wording
from eval_tasks.models.model import Reply
from mmcr_dataset.record.dialogue import Dialogue

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
MAX_IMAGES = 64  # of one prompt; servers take one unless told otherwise
READY_AFTER_S = 1800.0  # a large model takes minutes to load
STOP_AFTER_S = 20.0
# A multi-image dialogue needs several images a prompt and a prefix cache; the run's own settings decide how it decodes.
COMMANDS = {
    "vllm": (
        f"{{python}} -m vllm.entrypoints.openai.api_server --model {{path}} --served-model-name {{name}} --host {HOST} "
        "--port {port} --dtype {dtype} --limit-mm-per-prompt '{limit}' --enable-prefix-caching --generation-config vllm"
    ),
    "sglang": (
        f"{{python}} -m sglang.launch_server --model-path {{path}} --served-model-name {{name}} --host {HOST} "
        "--port {port} --dtype {dtype} --sampling-defaults openai"
    ),
    "transformers": (
        f"{{python}} -m transformers.cli.transformers serve {{path}} --host {HOST} --port {{port}} --dtype {{dtype}}"
    ),
}


class ServedVLM:
    """The model at a server of our own, `KIND:FOLDER_OR_HUB_ID`; `async with` starts and stops the server.

    Raises:
        ValueError: the kind's package isn't installed, or the folder doesn't exist.
    """

    def __init__(
        self,
        kind: str,
        place: str,
        ledger_path: Path,
        batch_size: int = 16,
        load: LoadSettings = LoadSettings(),  # noqa: B008  (frozen)
        generation: GenerationSettings = GenerationSettings(),  # noqa: B008  (frozen)
        server_args: str = "",
    ) -> None:
        if importlib.util.find_spec(kind) is None:
            raise ValueError(f"--model {kind}:{place} needs {kind}: pip install {kind}")
        folder = Path(place)
        if not folder.is_dir() and (place.startswith((".", "/")) or place.count("/") != 1):
            raise ValueError(f"--model {kind}:{place}: no such folder, and not the form ORG/NAME of a Hub id")
        self.name = f"{kind}:{place}"
        self.revision = folder_revision(folder) if folder.is_dir() else place
        self.batch_size = batch_size
        self._log_path = ledger_path.parent / "server.log"
        port = _free_port()
        self._url = f"http://{HOST}:{port}"
        marked = re.sub(r"[^\w.-]+", "_", f"{folder.name}-{self.revision}")
        served = place if kind == "transformers" else marked  # it serves a model by its own name only
        filled = COMMANDS[kind].format(
            python=shlex.quote(sys.executable),
            path=shlex.quote(place),
            name=served,
            port=port,
            dtype=load.dtype,
            limit=json.dumps({"image": MAX_IMAGES}),
        )
        self._command = [*shlex.split(filled), *_of_load(kind, load), *shlex.split(server_args)]
        self._described = {
            "server": f"{kind} {importlib.metadata.version(kind)}",
            "server_args": " ".join(self._command[1:]).replace(str(port), "PORT"),
        }
        ledger = ledger_path.with_name(f"ledger-{marked}.sqlite3")  # other weights of that name are never mixed up
        self._model = ChatApiVLM(f"{self._url}/v1#{served}", ledger, batch_size, generation, api_key="EMPTY")

    def describe(self) -> dict[str, Any]:
        """The server's version and flags."""
        return dict(self._described)

    def ask_with(self, wording: Wording) -> dict[str, Any]:
        """As `ChatApiVLM.ask_with`."""
        return self._model.ask_with(wording)

    def forget(self, dialogue: Dialogue) -> None:
        """Drop the dialogue's encoded images."""
        self._model.forget(dialogue)

    async def reply(self, dialogue: Dialogue, replies: Sequence[str], max_new_tokens: int, repeat: int = 0) -> Reply:
        """The server's reply; raises as `ChatApiVLM.reply`."""
        return await self._model.reply(dialogue, replies, max_new_tokens, repeat)

    async def __aenter__(self) -> Self:
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        with self._log_path.open("wb") as said:
            self._process = subprocess.Popen(  # noqa: S603  (our own command)
                self._command, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )
        log.info("starting %s; its log is %s", self.name, self._log_path)
        try:
            await asyncio.to_thread(self._wait_until_ready)
            await self._model.__aenter__()
        except BaseException:
            self._stop()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        try:
            await self._model.__aexit__(*exception)
        finally:
            self._stop()

    def _wait_until_ready(self) -> None:
        """Wait for the server's health.

        Raises:
            ValueError: it ended, or isn't ready in time; the end of its log is in the message.
        """
        end = time.monotonic() + READY_AFTER_S
        while time.monotonic() < end:
            if self._process.poll() is not None:
                said = self._log_path.read_text(errors="replace").strip()
                shown = said if len(said) < 1000 else f"{said[:300]} ... {said[-600:]}"
                raise ValueError(f"{self.name}: the server ended with code {self._process.returncode}: {shown}")
            try:
                with urllib.request.urlopen(f"{self._url}/health", timeout=5) as answer:  # noqa: S310  (127.0.0.1)
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass  # not yet
            time.sleep(0.5)
        raise ValueError(f"{self.name}: the server is not ready after {READY_AFTER_S:.0f} s; see {self._log_path}")

    def _stop(self) -> None:
        """End the server and its children."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, sign)
                self._process.wait(STOP_AFTER_S)
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                pass
            return


def _of_load(kind: str, load: LoadSettings) -> list[str]:
    """Flags of the load settings in a server's own words.

    Raises:
        ValueError: the server has no such flag.
    """
    if load.device_map is not None or load.attn_implementation is not None or load.quantization is not None:
        raise ValueError(
            f"--model {kind}: pass the server's own flags with --server_args (for example --tensor-parallel-size 2) "
            "instead of --device_map, --attn_implementation and --quantization"
        )
    return []


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])
