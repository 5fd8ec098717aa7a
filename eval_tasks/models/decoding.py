"""Greedy decoding of several dialogues in one batch, after their prefill: one token each a step, from the KV cache.

Continuous batching: an answer that ends leaves the batch at once and another joins before the next step, so none waits
for the longest of a batch.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch

from eval_tasks.models.kv_cache import DialogueKVCache, DialogueState, row_range
from eval_tasks.models.model import NoReply


@dataclass
class Answer:
    """An answer that is being decoded; `state.written` holds its tokens so far, the first included.

    Attributes:
        question: what it answers.
        state: its dialogue, with its row of the KV cache.
        limit: maximum number of new tokens.
        failure: why there is none.
    """

    question: Any
    state: DialogueState
    limit: int
    failure: NoReply | None = None


class DecodingBatch:
    """The batch of answers that are being decoded.

    When the memory does not suffice (OOM), half of them wait; each that ends lets one more in; one alone fails.

    Args:
        model: the model.
        cache: the KV cache of all dialogues.
        ends: token ids that end an answer (EOS).
        most: batch size at most.
    """

    def __init__(self, model: Any, cache: DialogueKVCache, ends: Collection[int], most: int) -> None:
        self._model = model
        self._cache = cache
        self._ends = ends
        self._most = self._num_fitting = most
        self._open: list[Answer] = []
        self._parked: list[Answer] = []

    def __len__(self) -> int:
        return len(self._open) + len(self._parked)

    def add(self, answer: Answer) -> None:
        """Add an answer whose prefill gave its first token."""
        self._parked.append(answer)

    def clear(self) -> None:
        """Drop all answers."""
        self._open, self._parked = [], []

    def advance(self) -> list[Answer]:
        """Decode until at least one answer ends; returns those that have."""
        while len(self):
            num_more = max(0, self._num_fitting - len(self._open))
            self._open += self._parked[:num_more]
            self._parked = self._parked[num_more:]
            ended = [answer for answer in self._open if self._has_ended(answer)]
            if ended:
                self._open = [answer for answer in self._open if not self._has_ended(answer)]
                self._num_fitting = min(self._most, self._num_fitting + len(ended))
                return ended
            try:
                self._decode_step()
            except torch.OutOfMemoryError as error:
                self._make_room(error)
        return []

    def _has_ended(self, answer: Answer) -> bool:
        written = answer.state.written
        return answer.failure is not None or written[-1] in self._ends or len(written) >= answer.limit

    def _make_room(self, error: torch.OutOfMemoryError) -> None:
        self._num_fitting = max(1, len(self._open) // 2)
        self._open.sort(key=lambda answer: answer.state.row)  # rows between those of a step are computed too
        if len(self._open) == 1:
            self._open[0].failure = NoReply("out_of_memory", str(error)[:500])
        self._parked = self._open[self._num_fitting :] + self._parked
        self._open = self._open[: self._num_fitting]

    def _decode_step(self) -> None:
        """One decoding step: a token more for each answer of the batch; cache rows between theirs are computed too."""
        cache, device = self._cache, self._model.device
        rows = row_range([answer.state for answer in self._open])
        columns = cache.lengths[rows]
        ids, positions = [0] * len(columns), [0] * len(columns)
        for answer in self._open:
            place, written = answer.state.row - rows.start, answer.state.written
            ids[place], positions[place] = written[-1], answer.state.next_position + len(written) - 1
        columns_R, end = torch.tensor(columns, device=device), max(columns) + 1
        positions_R1 = torch.tensor(positions, device=device)[:, None]
        mask_RL = torch.arange(end, device=device)[None] <= columns_R[:, None] if self._most > 1 else None
        cache.aim(rows, columns_R, end)
        output = self._model(
            input_ids=torch.tensor(ids, device=device)[:, None],
            attention_mask=None if mask_RL is None else mask_RL[:, None, None],
            position_ids=positions_R1.expand(3, -1, -1)
            if hasattr(self._model.model, "get_rope_index")
            else positions_R1,
            past_key_values=cache,
            use_cache=True,
        )
        said: list[int] = output.logits[:, -1].argmax(dim=-1).tolist()
        for answer in self._open:
            cache.lengths[answer.state.row] += 1
            answer.state.written.append(said[answer.state.row - rows.start])
