"""Batched greedy decoding after the prefill, from the KV cache: one token per dialogue and step.

Continuous batching: a finished answer leaves the batch at once and another joins before the next step.

Shapes: R rows of the KV cache, L columns.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch

from eval_tasks.models.kv_cache import DialogueKVCache, DialogueState, row_range
from eval_tasks.models.model import NoReply
from eval_tasks.models.token_choice import TokenChoice


def to_failure(error: Exception) -> NoReply:
    """The failure of one sample, from what went wrong while it was answered.

    Raises:
        Exception: the error itself, if the device is lost and no other sample can be answered either.
    """
    if isinstance(error, NoReply):
        return error
    if isinstance(error, torch.OutOfMemoryError):
        return NoReply("out_of_memory", str(error)[:500])
    if isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error):
        raise error
    return NoReply("model_error", f"{type(error).__name__}: {str(error)[:500]}")


@dataclass
class Answer:
    """An answer that is being decoded; `state.written` holds its tokens so far.

    Attributes:
        question: the question it answers.
        state: state of its dialogue, with its row of the KV cache.
        limit: maximum number of new tokens.
        choice: chooses its tokens.
        failure: reason of a failure, None if there was none.
    """

    question: Any
    state: DialogueState
    limit: int
    choice: TokenChoice
    failure: NoReply | None = None


class DecodingBatch:
    """The batch of answers that are being decoded.

    When a step fails, such as out of memory (OOM), the batch size is halved; it grows by one with each finished answer.
    At batch size 1 the answer fails.

    Args:
        model: the model.
        cache: the KV cache of all dialogues.
        ends: token ids that end an answer (EOS).
        max_batch_size: maximum batch size.
    """

    def __init__(self, model: Any, cache: DialogueKVCache, ends: Collection[int], max_batch_size: int) -> None:
        self._model = model
        self._cache = cache
        self._ends = ends
        self._max_batch_size = self._batch_size = max_batch_size
        self._open: list[Answer] = []
        self._parked: list[Answer] = []

    def __len__(self) -> int:
        return len(self._open) + len(self._parked)

    def add(self, answer: Answer) -> None:
        """Add an answer after its prefill, with its first token."""
        self._parked.append(answer)

    def clear(self) -> None:
        """Drop all answers."""
        self._open, self._parked = [], []

    def advance(self) -> list[Answer]:
        """Decode until at least one answer is finished; returns the finished ones."""
        while len(self):
            num_more = max(0, self._batch_size - len(self._open))
            self._open += self._parked[:num_more]
            self._parked = self._parked[num_more:]
            ended = [answer for answer in self._open if self._has_ended(answer)]
            if ended:
                self._open = [answer for answer in self._open if not self._has_ended(answer)]
                self._batch_size = min(self._max_batch_size, self._batch_size + len(ended))
                return ended
            try:
                self._decode_step()
            except Exception as error:  # noqa: BLE001  (a fault of one answer is found by halving the batch)
                self._shrink(to_failure(error))
        return []

    def _has_ended(self, answer: Answer) -> bool:
        written = answer.state.written
        return answer.failure is not None or written[-1] in self._ends or len(written) >= answer.limit

    def _shrink(self, failure: NoReply) -> None:
        self._batch_size = max(1, len(self._open) // 2)
        self._open.sort(key=lambda answer: answer.state.row)  # a step computes the whole range of rows
        if len(self._open) == 1:
            self._open[0].failure = failure
        self._parked = self._open[self._batch_size :] + self._parked
        self._open = self._open[: self._batch_size]

    def _decode_step(self) -> None:
        """One decoding step: one token per answer of the batch, over the range of their cache rows."""
        cache, device = self._cache, self._model.device
        rows = row_range([answer.state for answer in self._open])
        columns = cache.lengths[rows]
        ids, positions = [0] * len(columns), [0] * len(columns)
        for answer in self._open:
            place, written = answer.state.row - rows.start, answer.state.written
            ids[place], positions[place] = written[-1], answer.state.next_position + len(written) - 1
        columns_R, end = torch.tensor(columns, device=device), max(columns) + 1
        positions_R1 = torch.tensor(positions, device=device)[:, None]
        mask_RL = torch.arange(end, device=device)[None] <= columns_R[:, None] if self._max_batch_size > 1 else None
        cache.set_target(rows, columns_R, end)
        output = self._model(
            input_ids=torch.tensor(ids, device=device)[:, None],
            attention_mask=None if mask_RL is None else mask_RL[:, None, None],
            position_ids=positions_R1.expand(3, -1, -1)
            if hasattr(self._model.model, "get_rope_index")
            else positions_R1,
            past_key_values=cache,
            use_cache=True,
        )
        logits_RV = output.logits[:, -1]
        likeliest: list[int] = logits_RV.argmax(dim=-1).tolist()
        said = []
        for answer in self._open:
            place = answer.state.row - rows.start
            alone = answer.choice.is_argmax
            said.append(likeliest[place] if alone else answer.choice.choose(answer.state.written, logits_RV[place]))
        for answer, token in zip(self._open, said, strict=True):
            cache.lengths[answer.state.row] += 1
            answer.state.written.append(token)
