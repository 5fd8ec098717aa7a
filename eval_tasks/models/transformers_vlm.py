"""A checkpoint folder or Hub id that `AutoModelForImageTextToText` loads; greedy, several dialogues side by side.

A dialogue's keys and values are kept from turn to turn and each picture goes through the vision tower once. A new
turn reads only what is new; if the answer's text splits into other tokens than were written, reading goes on from the
first that differs, so replies are those of a model that reads everything anew.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from PIL.Image import Image
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor, DynamicCache

from eval_tasks.models.dialogue_cache import DialogueState, has_full_attention, join_caches, split_cache, to_layers
from eval_tasks.models.open_model import NoReply
from mmcr_dataset.images import PictureError, decode_rgb
from mmcr_dataset.messages import num_pictures_shown, to_messages
from mmcr_dataset.schema import Dialogue, Picture

_OF_TOKENS = ("input_ids", "attention_mask", "mm_token_type_ids")  # the processor's outputs that are not of pictures
_NUM_QUIET_CYCLES = 8  # turns of the event loop without a new question before the batch starts


def folder_revision(folder: Path) -> str:
    """Hash of all files that shape a checkpoint's answers."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".safetensors", ".bin", ".json", ".jinja", ".model", ".txt"):
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


@dataclass
class _Question:
    """One question that waits for its batch, and where its answer goes."""

    dialogue: Dialogue
    replies: tuple[str, ...]
    max_new_tokens: int
    answer: asyncio.Future[str]


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
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = self._model.eval().to(self.device)
        config = self._model.config
        commit = getattr(config, "_commit_hash", None)
        self.revision = folder_revision(folder) if folder.is_dir() else str(commit or revision or "unknown")
        self._window = int(getattr(config.get_text_config(), "max_position_embeddings", 0)) or 1 << 30
        self._keeps = has_full_attention(config)
        ends = self._model.generation_config.eos_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends]) | {self._processor.tokenizer.eos_token_id}
        self._states: dict[str, DialogueState] = {}
        self._waiting: list[_Question] = []
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._worker is not None:
            await asyncio.wait([self._worker])

    def forget(self, dialogue: Dialogue) -> None:
        """Free the dialogue's keys and values."""
        self._states.pop(dialogue.id, None)

    async def reply(self, dialogue: Dialogue, replies: Sequence[str], max_new_tokens: int) -> str:
        """The model's greedy answer, found together with those of all dialogues that wait for one."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Question(dialogue, tuple(replies), max_new_tokens, answer))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        """Answer what waits, batch by batch, until nothing does."""
        try:
            while self._waiting:
                seen = quiet = 0
                while quiet < _NUM_QUIET_CYCLES and len(self._waiting) < self.side_by_side:
                    await asyncio.sleep(0)
                    quiet = quiet + 1 if len(self._waiting) == seen else 0
                    seen = len(self._waiting)
                batch, self._waiting = self._waiting[: self.side_by_side], self._waiting[self.side_by_side :]
                said = await asyncio.to_thread(self._answer_batch, batch)
                for question, one in zip(batch, said, strict=True):
                    if question.answer.done():
                        continue
                    if isinstance(one, NoReply):
                        question.answer.set_exception(one)
                    else:
                        question.answer.set_result(one)
                await asyncio.sleep(0)
        except Exception as error:
            for question in [*batch, *self._waiting]:
                if not question.answer.done():
                    question.answer.set_exception(error)
            raise
        finally:
            self._worker = None

    @torch.inference_mode()
    def _answer_batch(self, batch: Sequence[_Question]) -> list[str | NoReply]:
        ready: list[tuple[int, DialogueState, int]] = []  # place in the batch, state, first token of the answer
        said: list[str | NoReply] = [NoReply("not_asked", "")] * len(batch)
        for place, question in enumerate(batch):
            try:
                state, first = self._read(question)
                ready.append((place, state, first))
            except NoReply as failure:
                self._states.pop(question.dialogue.id, None)
                said[place] = failure
            except torch.OutOfMemoryError as error:
                self._states.pop(question.dialogue.id, None)
                said[place] = NoReply("out_of_memory", str(error)[:500])
        if not ready:
            return said
        limits = [min(batch[place].max_new_tokens, self._window - len(state.ids)) for place, state, _ in ready]
        self._write([state for _, state, _ in ready], [first for *_, first in ready], limits)
        for (place, state, _), limit in zip(ready, limits, strict=True):
            ended = bool(state.written) and state.written[-1] in self._ends
            if not ended and limit < batch[place].max_new_tokens:
                detail = f"the reply reaches the end of the model's window of {self._window} tokens"
                said[place] = NoReply("over_length", detail)
            else:
                said[place] = self._processor.tokenizer.decode(state.written, skip_special_tokens=True).strip()
            if not self._keeps:
                self._states.pop(batch[place].dialogue.id, None)
        return said

    def _read(self, question: _Question) -> tuple[DialogueState, int]:
        """Take in what is new of a dialogue; its state and the first token of the answer."""
        dialogue, replies = question.dialogue, question.replies
        text = self._processor.apply_chat_template(
            to_messages(dialogue, replies), add_generation_prompt=True, tokenize=False
        )
        state = self._states.get(dialogue.id, DialogueState())
        if state.pictures != dialogue.pictures[: state.num_pictures] or not self._is_continued(state, text):
            state = DialogueState()
        new = dialogue.pictures[state.num_pictures : num_pictures_shown(dialogue, len(replies))]
        pictures = _decoded(new)
        begun = bool(state.ids)
        inputs: dict[str, Any] = self._processor(
            text=[text[len(state.text) :]],
            images=pictures or None,
            return_tensors="pt",
            **({"add_special_tokens": False} if begun else {}),
        ).to(self._model.device)
        new_ids: list[int] = inputs["input_ids"][0].tolist()
        ids = state.ids + new_ids
        if len(ids) >= self._window:
            raise NoReply("over_length", f"{len(ids)} tokens, the model's window has {self._window}")
        known = len(state.ids) + _num_alike(state.written[: state.num_cached - len(state.ids)], new_ids)
        cache = join_caches([state], [known], len(ids) - known)[0] if begun else DynamicCache()
        positions = self._positions(state, inputs, ids)
        picture_inputs = {name: value for name, value in inputs.items() if name not in _OF_TOKENS and pictures}
        output = self._model(
            input_ids=torch.tensor([ids[known:]], device=self._model.device),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long, device=self._model.device),
            position_ids=positions[..., known:],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **picture_inputs,
        )
        state.text, state.ids, state.written = text, ids, []
        state.pictures += new
        state.layers = to_layers(output.past_key_values)
        state.next_position = int(positions.max()) + 1
        self._states[dialogue.id] = state
        return state, int(output.logits[0, -1].argmax())

    def _is_continued(self, state: DialogueState, text: str) -> bool:
        """True if the new text only adds to the known one, in tokens too."""
        if not state.ids or not text.startswith(state.text) or text == state.text:
            return False
        tokenize = self._processor.tokenizer
        whole, before = tokenize(text)["input_ids"], tokenize(state.text)["input_ids"]
        after = tokenize(text[len(state.text) :], add_special_tokens=False)["input_ids"]
        return bool(whole == before + after)

    def _positions(self, state: DialogueState, inputs: dict[str, Any], ids: list[int]) -> Tensor:
        """Rotary positions of all tokens: `(1, L)`, or `(M, 1, L)` where they depend on the pictures' grids."""
        device = self._model.device
        find = getattr(self._model.model, "get_rope_index", None)
        if find is None:
            return torch.arange(len(ids), device=device)[None]
        for name in ("image_grid_thw", "mm_token_type_ids"):
            if name in inputs:
                joined = [state.extras[name], inputs[name]] if name in state.extras else [inputs[name]]
                state.extras[name] = torch.cat(joined, dim=1 if name == "mm_token_type_ids" else 0)
        asked = {name: state.extras[name] for name in ("image_grid_thw", "mm_token_type_ids") if name in state.extras}
        positions: Tensor = find(torch.tensor([ids], device=device), **asked)[0]
        return positions

    def _write(self, states: Sequence[DialogueState], first: Sequence[int], limits: Sequence[int]) -> None:
        """Greedy answers of all dialogues, one token each at a time."""
        device = self._model.device
        lengths = [len(state.ids) for state in states]
        cache, mask_BL = join_caches(states, lengths, max(limits))
        columns = [mask_BL.shape[1] - length for length in lengths]
        start_B = torch.tensor([state.next_position for state in states], device=device)
        needs_grid = hasattr(self._model.model, "get_rope_index")
        ids, step = list(first), 0
        open_rows = set(range(len(states)))
        while True:
            for row in sorted(open_rows):
                states[row].written.append(ids[row])
                if ids[row] in self._ends or len(states[row].written) >= limits[row]:
                    open_rows.discard(row)
            if not open_rows:
                break
            mask_BL = torch.nn.functional.pad(mask_BL, (0, 1), value=1)
            position_B1 = (start_B + step)[:, None]
            output = self._model(
                input_ids=torch.tensor(ids, device=device)[:, None],
                attention_mask=mask_BL,
                position_ids=position_B1.expand(3, -1, -1) if needs_grid else position_B1,
                past_key_values=cache,
                use_cache=True,
            )
            ids = output.logits[:, -1].argmax(dim=-1).tolist()
            step += 1
        split_cache(cache, states, columns)


def _decoded(pictures: Sequence[Picture]) -> list[Image]:
    try:
        return [decode_rgb(picture.data) for picture in pictures]
    except PictureError as error:
        raise NoReply(error.reason, error.detail) from error


def _num_alike(left: Sequence[int], right: Sequence[int]) -> int:
    """How many first elements are the same."""
    for number, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return number
    return min(len(left), len(right))
