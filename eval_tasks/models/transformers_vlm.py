"""A checkpoint folder or Hub id that `AutoModelForImageTextToText` loads, greedy."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from eval_tasks.models.open_model import NoReply
from mmcr_dataset.images import PictureError, decode_rgb
from mmcr_dataset.messages import num_pictures_shown, to_messages
from mmcr_dataset.schema import Dialogue


def folder_revision(folder: Path) -> str:
    """Hash of all files that shape a checkpoint's answers."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".safetensors", ".bin", ".json", ".jinja", ".model", ".txt"):
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


class TransformersVLM:
    """A local vision-language model.

    Raises:
        ValueError: nothing there that transformers can load.
    """

    def __init__(self, place: str, side_by_side: int = 8) -> None:
        self.name = f"hf:{place}"
        self.side_by_side = side_by_side
        name, _, revision = place.partition("@")
        folder = Path(name)
        if not folder.is_dir() and (name.startswith((".", "/")) or name.count("/") != 1):
            raise ValueError(f"--model hf:{name}: no such folder, and not the form ORG/NAME of a Hub id")
        named = {"revision": revision} if revision else {}
        try:
            self._processor: Any = AutoProcessor.from_pretrained(name, **named)
            self._model: Any = AutoModelForImageTextToText.from_pretrained(name, dtype="auto", **named)
        except (OSError, ValueError) as error:
            raise ValueError(f"--model hf:{name} can't be loaded: {error}") from error
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = self._model.eval().to(device)
        commit = getattr(self._model.config, "_commit_hash", None)
        self.revision = folder_revision(folder) if folder.is_dir() else str(commit or revision or "unknown")
        text_config = self._model.config.get_text_config()
        self._window = int(getattr(text_config, "max_position_embeddings", 0)) or 1 << 30
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        return None

    def forget(self, dialogue: Dialogue) -> None:
        """Nothing is kept."""

    async def reply(self, dialogue: Dialogue, replies: Sequence[str], max_new_tokens: int) -> str:
        """The model's greedy answer."""
        async with self._lock:
            return await asyncio.to_thread(self._generate, dialogue, tuple(replies), max_new_tokens)

    def _generate(self, dialogue: Dialogue, replies: Sequence[str], max_new_tokens: int) -> str:
        shown = num_pictures_shown(dialogue, len(replies))
        try:
            pictures = [decode_rgb(picture.data) for picture in dialogue.pictures[:shown]]
        except PictureError as error:
            raise NoReply(error.reason, error.detail) from error
        messages = to_messages(dialogue, replies)
        text = self._processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        inputs = self._processor(text=[text], images=pictures or None, return_tensors="pt").to(self._model.device)
        length = inputs["input_ids"].shape[1]
        room = self._window - length
        if room < 1:
            raise NoReply("over_length", f"{length} tokens, the model's window has {self._window}")
        with torch.inference_mode():
            output_BT = self._model.generate(  # noqa: N806
                **inputs, do_sample=False, max_new_tokens=min(max_new_tokens, room)
            )
        new_ids = output_BT[0, length:]
        if room < max_new_tokens and len(new_ids) == room:
            raise NoReply("over_length", f"the reply reaches the end of the model's window of {self._window} tokens")
        return str(self._processor.tokenizer.decode(new_ids, skip_special_tokens=True)).strip()
