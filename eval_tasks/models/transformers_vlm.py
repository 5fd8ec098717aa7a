"""A local checkpoint or Hub model that answers with the tokens `generate` would write; batched decoding.

The KV cache of a dialogue is kept from turn to turn and each image goes through the vision tower once. The prefill of a
new turn covers only the new tokens. If retokenizing an answer gives other tokens than were decoded, the prefill starts
at the first difference, so replies equal those of a full prefill at every turn.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from eval_tasks.models.block_attention import use_block_attention
from eval_tasks.models.checkpoint import load_checkpoint
from eval_tasks.models.decoding import Answer, DecodingBatch, to_failure
from eval_tasks.models.generation import GenerationSettings, LoadSettings, Wording
from eval_tasks.models.kv_cache import DialogueKVCache, DialogueState, causal_mask
from eval_tasks.models.model import NoReply, Reply
from eval_tasks.models.token_choice import TokenChoice, generation_config_of
from mmcr_dataset.endpoint.thoughts import MARKS
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage
from mmcr_dataset.record.messages import images_in

log = logging.getLogger(__name__)

_TYPES = "mm_token_type_ids"  # 0 for text
_OF_TOKENS = ("input_ids", "attention_mask", _TYPES)  # outputs of the processor for text
_NOT_OF_REPLIES = ("max_new_tokens", "transformers_version", "_from_model_config")
_NUM_QUIET_CYCLES = 8  # cycles of the event loop without a new question before the batch starts


@dataclass
class _Question:
    """One queued question and the future of its answer."""

    dialogue: Dialogue
    replies: tuple[str, ...]
    max_new_tokens: int
    answer: asyncio.Future[Reply]
    repeat: int = 0
    alone: bool = False  # retried at batch size 1 after running out of memory


class TransformersVLM:
    """A local vision-language model.

    Raises:
        ValueError: transformers can't load the checkpoint.
    """

    def __init__(
        self,
        place: str,
        batch_size: int = 8,
        load: LoadSettings = LoadSettings(),  # noqa: B008  (frozen)
        generation: GenerationSettings = GenerationSettings(),  # noqa: B008  (frozen)
    ) -> None:
        self.name = f"hf:{place}"
        self.batch_size = batch_size
        self._checkpoint = load_checkpoint(place, load, generation)
        self._model = self._checkpoint.model
        self._tokenizer = self._checkpoint.tokenizer
        self.device = str(self._model.device)
        self.revision = self._checkpoint.revision
        if why := self._checkpoint.why_no_cache:
            log.warning("%s: %s, so every turn is a full prefill by `generate`, one dialogue at a time", self.name, why)
        self._keeps = not self._checkpoint.why_no_cache
        self._in_blocks = self._keeps and use_block_attention(self._model)
        self._states: dict[str, DialogueState] = {}
        self._max_batch_size = batch_size if self._keeps else 1
        self._cache = DialogueKVCache(self._max_batch_size)
        self._batch = DecodingBatch(self._model, self._cache, self._checkpoint.ends, self._max_batch_size)
        self._waiting: list[_Question] = []
        self._postponed: list[_Question] = []  # ran out of memory in a batch with others
        self._worker: asyncio.Task[None] | None = None

    def describe(self) -> dict[str, Any]:
        """What replies depend on besides the checkpoint: dtype, device, attention, cache, generation settings."""
        config = generation_config_of(self._model, self._checkpoint.generation, 1).to_diff_dict()
        config = {name: value for name, value in config.items() if name not in _NOT_OF_REPLIES}
        return {
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "device": self._model.device.type,
            "attention": str(self._model.config.get_text_config()._attn_implementation),
            "batch_size": self.batch_size,
            "transformers": importlib.metadata.version("transformers"),
            "cache": "kept" if self._keeps else f"prefill: {self._checkpoint.why_no_cache}",
            "generation_config": json.loads(json.dumps(config, default=str)),
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._worker is not None:
            await asyncio.wait([self._worker])

    def ask_with(self, wording: Wording) -> dict[str, Any]:
        """Put the next task in these words; raises as `Model.ask_with`."""
        self._forget_all()  # the same image is other tokens under other options
        return self._checkpoint.ask_with(wording)

    def forget(self, dialogue: Dialogue) -> None:
        """Free the dialogue's row of the KV cache."""
        state = self._states.pop(dialogue.id, None)
        if state is not None and self._keeps:
            self._cache.release(state)

    async def reply(self, dialogue: Dialogue, replies: Sequence[str], max_new_tokens: int, repeat: int = 0) -> Reply:
        """The model's answer, decoded in a batch with other waiting dialogues."""
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Question(dialogue, tuple(replies), max_new_tokens, answer, repeat))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        """Answer queued questions until none is left; a new one joins as soon as another is answered."""
        asked: set[asyncio.Future[Reply]] = set()
        alone = False
        try:
            while self._waiting or self._postponed or len(self._batch):
                num_free = 0 if self._postponed or alone else self._max_batch_size - len(self._batch)
                await self._wait_for_questions(num_free)
                new, self._waiting = self._waiting[:num_free], self._waiting[num_free:]
                asked |= {question.answer for question in new}
                if self._postponed and not len(self._batch):
                    new, alone = [self._postponed.pop(0)], True
                    self._forget_all()
                for question, one in await asyncio.to_thread(self._advance, new):
                    asked.discard(question.answer)
                    alone = alone and not question.alone
                    if question.answer.done():
                        continue
                    if isinstance(one, NoReply):
                        question.answer.set_exception(one)
                    else:
                        question.answer.set_result(one)
                await asyncio.sleep(0)
        except Exception as error:
            self._batch.clear()
            for answer in [*asked, *(question.answer for question in self._waiting)]:
                if not answer.done():
                    answer.set_exception(error)
            self._waiting, self._postponed = [], []
            raise
        finally:
            self._worker = None

    async def _wait_for_questions(self, num_free: int) -> None:
        seen = quiet = 0
        while quiet < _NUM_QUIET_CYCLES and len(self._waiting) < num_free:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._waiting) == seen else 0
            seen = len(self._waiting)

    @torch.inference_mode()
    def _advance(self, new: Sequence[_Question]) -> list[tuple[_Question, Reply | NoReply]]:
        """Prefill the new questions and decode until one is answered; returns answers and failures."""
        done: list[tuple[_Question, Reply | NoReply]] = []
        for question in new:
            try:
                if self._keeps:
                    self._batch.add(self._prefill(question))
                else:
                    done.append((question, self._generate(question)))
            except Exception as error:  # noqa: BLE001  (the fault of one sample stays with it)
                done.append((question, to_failure(error)))
        if not done:
            done = [(answer.question, self._said(answer)) for answer in self._batch.advance()]
        for question, said in done:
            if isinstance(said, NoReply):
                self.forget(question.dialogue)
        return [(question, said) for question, said in done if not self._is_postponed(question, said)]

    def _is_postponed(self, question: _Question, said: Reply | NoReply) -> bool:
        """True after an out-of-memory failure in a batch: the question is retried alone."""
        if not isinstance(said, NoReply) or said.reason != "out_of_memory" or question.alone:
            return False
        question.alone = True
        self._postponed.append(question)
        return True

    def _forget_all(self) -> None:
        """Free the KV cache of all dialogues; their next question needs a full prefill."""
        self._states.clear()
        self._cache.clear()
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()

    def _said(self, answer: Answer) -> Reply | NoReply:
        return answer.failure or self._to_reply(answer.state.written, answer.state.text)

    def _to_reply(self, written: Sequence[int], rendered: str) -> Reply:
        """The text of a reply; truncated if it has no end, at the token limit or at that of the window.

        If the chat template opens the model's thoughts, the reply begins with that mark.
        """
        prefix = next((opening for opening, _ in MARKS if rendered.rstrip().endswith(opening)), "")
        text = self._checkpoint.decode(written)
        return Reply(prefix + text.strip(), is_truncated=written[-1] not in self._checkpoint.ends)

    def _limit(self, question: _Question, num_tokens: int) -> int:
        """Maximum number of new tokens after a prompt."""
        if num_tokens >= self._checkpoint.window:
            window = self._checkpoint.window
            raise NoReply("over_length", f"{num_tokens} tokens, the context window has {window}")
        return min(question.max_new_tokens, self._checkpoint.window - num_tokens)

    def _seed(self, question: _Question) -> int:
        return self._checkpoint.generation.seed_of(question.dialogue.id, len(question.replies), question.repeat)

    def _generate(self, question: _Question) -> Reply:
        """The answer by `generate`, from a full prefill of the dialogue."""
        messages = self._checkpoint.messages_of(question.dialogue, question.replies)
        images = self._checkpoint.decoded(images_in(messages), 0)
        text = self._checkpoint.render(messages)
        inputs = self._checkpoint.inputs_of(text, images).to(self._model.device)
        inputs = inputs.to(self._model.dtype)  # floating-point tensors only
        ids = inputs["input_ids"][0].tolist()
        limit = self._limit(question, len(ids))
        torch.manual_seed(self._seed(question))
        config = generation_config_of(self._model, self._checkpoint.generation, limit)
        written = self._model.generate(**inputs, generation_config=config)[0, len(ids) :].tolist()
        self._states[question.dialogue.id] = DialogueState(-1, ids=ids, written=written)
        return self._to_reply(written, text)

    def _prefill(self, question: _Question) -> Answer:
        """Prefill the new tokens of a dialogue; returns the answer with its first token."""
        dialogue, replies, model = question.dialogue, question.replies, self._model
        messages = self._checkpoint.messages_of(dialogue, replies)
        text = self._checkpoint.render(messages)
        text_ids: list[int] = self._tokenizer(text, **self._checkpoint.special_tokens_of(text))["input_ids"]
        shown = images_in(messages)
        state = self._known_state(dialogue, text, text_ids, shown)
        before: DialogueState | None = None
        if state is None:
            state, before = self._new_state(dialogue, shown)
        new = shown[state.num_images :]
        if new:
            options = {"add_special_tokens": False} if state.ids else {}
            inputs: dict[str, Any] = self._checkpoint.inputs_of(
                text[len(state.text) :], self._checkpoint.decoded(new, state.num_images), **options
            )
            inputs = inputs.to(model.device).to(model.dtype)  # type: ignore[attr-defined]  # a BatchFeature
            new_ids: list[int] = inputs["input_ids"][0].tolist()
        else:  # text alone is tokenized already
            new_ids = text_ids[len(state.text_ids) :]
            inputs = {_TYPES: torch.zeros(1, len(new_ids), dtype=torch.int64, device=model.device)}
        ids = state.ids + new_ids
        limit = self._limit(question, len(ids))
        num_written = max(0, self._cache.lengths[state.row] - len(state.ids))
        known = len(state.ids) + _common_prefix(state.written[:num_written], new_ids)
        if before is not None:
            known = self._copy_prefix(state, before, ids)
        positions = self._positions(state, inputs, ids)
        to_tower = bool(new) and (before is None or known == 0)
        image_inputs = {name: value for name, value in inputs.items() if name not in _OF_TOKENS and to_tower}
        self._cache.set_target(slice(state.row, state.row + 1), known, len(ids), num_new=len(ids) - known)
        output = model(
            input_ids=torch.tensor([ids[known:]], device=model.device),
            attention_mask=None if self._in_blocks else causal_mask(known, len(ids), model.device),
            position_ids=positions[..., known:],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
            **image_inputs,
        )
        config = generation_config_of(model, self._checkpoint.generation, limit)
        choice = TokenChoice(model, config, ids, self._seed(question))
        self._cache.lengths[state.row] = len(ids)
        state.text, state.text_ids, state.ids = text, text_ids, ids
        state.written = [choice.choose([], output.logits[0, -1])]
        state.images += new
        state.next_position = int(positions.max()) + 1
        return Answer(question, state, limit, choice)

    def _known_state(
        self, dialogue: Dialogue, text: str, text_ids: Sequence[int], shown: Sequence[DialogueImage]
    ) -> DialogueState | None:
        """The cached state of the dialogue; None (and evicted) if it isn't a prefix of the new one."""
        state = self._states.get(dialogue.id)
        if state is None:
            return None
        is_same = len(shown) == state.num_images or not state.num_images or self._checkpoint.reads_images_alone
        continued = is_same and text.startswith(state.text) and len(text) > len(state.text) > 0
        if continued and state.images == dialogue.images[: state.num_images]:
            after: list[int] = self._tokenizer(text[len(state.text) :], add_special_tokens=False)["input_ids"]
            if text_ids == state.text_ids + after:
                return state
        self.forget(dialogue)
        return None

    def _new_state(
        self, dialogue: Dialogue, shown: tuple[DialogueImage, ...]
    ) -> tuple[DialogueState, DialogueState | None]:
        """A new state, and that of a cached dialogue that starts with the same images, if there is one."""
        row, before = self._cache.take(shown)
        state = DialogueState(row)
        if before is None and shown:
            same = (one for one in list(self._states.values()) if one.images[: len(shown)] == shown)
            before = next(same, None)
        self._states[dialogue.id] = state
        return state, before if self._keeps else None

    def _copy_prefix(self, state: DialogueState, before: DialogueState, ids: Sequence[int]) -> int:
        """Copy the KV cache of a shared prefix; returns its number of tokens, 0 if it lacks some of the images."""
        shared = min(_common_prefix(before.ids, ids), len(ids) - 1)
        if self._checkpoint.image_token is None or self._checkpoint.image_token in ids[shared:]:
            return 0
        self._cache.copy(before.row, state.row, shared)
        return shared

    def _positions(self, state: DialogueState, inputs: dict[str, Any], ids: list[int]) -> Tensor:
        """Rotary positions of all tokens: [1, L], or [M, 1, L] if they depend on image grids (M-RoPE)."""
        device = self._model.device
        find = getattr(self._model.model, "get_rope_index", None)
        if find is None:
            return torch.arange(len(ids), device=device)[None]
        for name in ("image_grid_thw", _TYPES):
            if name in inputs:
                joined = [state.extras[name], inputs[name]] if name in state.extras else [inputs[name]]
                state.extras[name] = torch.cat(joined, dim=1 if name == _TYPES else 0)
        asked = {name: state.extras[name] for name in ("image_grid_thw", _TYPES) if name in state.extras}
        positions: Tensor = find(torch.tensor([ids], device=device), **asked)[0]
        return positions


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the common prefix."""
    for number, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return number
    return min(len(left), len(right))
