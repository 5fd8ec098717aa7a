"""Any OpenAI-compatible endpoint (vLLM, SGLang, llama.cpp, OpenAI) as a model.

The history is append-only, so a server's prefix cache holds the earlier turns. Replies are cached in the ledger, so no
request is paid twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from eval_tasks.models.generation import GenerationSettings, Wording
from eval_tasks.models.model import NoReply, Reply
from mmcr_dataset.endpoint.address import read_endpoint
from mmcr_dataset.endpoint.client import ChatClient, RequestFailed
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.endpoint.thoughts import with_thoughts
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage
from mmcr_dataset.record.images import ImageError, to_data_url
from mmcr_dataset.record.messages import to_messages, to_openai

log = logging.getLogger(__name__)


class ChatApiVLM:
    """The model at `URL#NAME`, for Azure `URL#DEPLOYMENT?api_version=V`.

    Raises:
        ValueError: the URL or the model's name is missing.
    """

    def __init__(
        self,
        address: str,
        ledger_path: Path,
        batch_size: int = 16,
        generation: GenerationSettings = GenerationSettings(),  # noqa: B008  (frozen)
        api_key: str | None = None,
    ) -> None:
        self._generation = generation
        self._endpoint = read_endpoint(address, "--model", "api:URL#NAME", max_in_flight=batch_size, api_key=api_key)
        self._ledger_path = ledger_path
        self.name = f"api:{self._endpoint.base_url}#{self._endpoint.model}"
        self.revision = self._endpoint.model
        self.batch_size = batch_size
        self._urls: dict[str, dict[str, str]] = {}  # by dialogue, by sha256

    async def __aenter__(self) -> Self:
        self._ledger = Ledger(self._ledger_path)
        self._client = ChatClient(self._endpoint, self._ledger, keeps_truncated=True)
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._client.__aexit__(None, None, None)
        self._ledger.close()

    def ask_with(self, wording: Wording) -> dict[str, Any]:
        """Nothing of it: the server has its own chat template and image limits, which is logged."""
        if (described := wording.describe()) and not wording.only_of_type:
            log.warning("%s: these rules also set %s, which is the server's to do", self.name, described)
        return {}

    def forget(self, dialogue: Dialogue) -> None:
        """Drop the dialogue's encoded images."""
        self._urls.pop(dialogue.id, None)

    def describe(self) -> dict[str, Any]:
        """Nothing: what the server's replies depend on is in its name and in the run's settings."""
        return {}

    async def reply(self, dialogue: Dialogue, replies: Sequence[str], max_new_tokens: int, repeat: int = 0) -> Reply:
        """The endpoint's reply, greedy by default; its thoughts in front, if the server reports them apart.

        Raises:
            NoReply: an image can't be decoded, or the request failed.
        """
        try:
            if dialogue.id not in self._urls:
                self._urls[dialogue.id] = await asyncio.to_thread(_encode, dialogue.images)
            urls = self._urls[dialogue.id]
            messages = to_openai(to_messages(dialogue, replies), lambda image: urls[image.sha256])
            if self._generation.system_prompt:
                messages.insert(0, {"role": "system", "content": self._generation.system_prompt})
            fields = self._generation.for_api(dialogue.id, len(replies), repeat)
            reply = await self._client.ask(messages, **fields, max_tokens=max_new_tokens)
        except (ImageError, RequestFailed) as error:
            raise NoReply(error.reason, error.detail) from error
        return Reply(with_thoughts(reply.thoughts, reply.text), reply.is_truncated)


def _encode(images: Sequence[DialogueImage]) -> dict[str, str]:
    return {image.sha256: to_data_url(image.data) for image in images}
