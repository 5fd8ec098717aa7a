"""Greedy answers of several dialogues at once, a token each a step, from keys and values that are already there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from eval_tasks.models.dialogue_cache import DialogueRows, DialogueState, row_range
from eval_tasks.models.open_model import NoReply


@dataclass
class Answer:
    """An answer that is being written.

    Attributes:
        place: of its question in the batch.
        state: its dialogue.
        first: its first token.
        limit: so many tokens at most.
        failure: why it isn't there.
    """

    place: int
    state: DialogueState
    first: int
    limit: int
    failure: NoReply | None = None


def write_answers(
    model: Any, cache: DialogueRows, answers: Sequence[Answer], ends: Collection[int], together: bool
) -> None:
    """Write all answers; where memory doesn't suffice, in halves, and one alone fails.

    Args:
        model: the model.
        cache: where the dialogues' keys and values are.
        answers: one a dialogue, each with its first token.
        ends: tokens that end an answer.
        together: side by side; else one by one, as it must be where layers see only the last tokens, because their
            window is counted in columns and rows differ in those.
    """
    if not answers:
        return
    if not together and len(answers) > 1:
        for answer in answers:
            write_answers(model, cache, [answer], ends, together)
        return
    try:
        _write(model, cache, answers, ends, together)
    except torch.OutOfMemoryError as error:
        if len(answers) == 1:
            answers[0].failure = NoReply("out_of_memory", str(error)[:500])
            return
        middle = len(answers) // 2
        write_answers(model, cache, answers[:middle], ends, together)
        write_answers(model, cache, answers[middle:], ends, together)


def _write(model: Any, cache: DialogueRows, answers: Sequence[Answer], ends: Collection[int], together: bool) -> None:
    """Greedy answers of all dialogues, one token each at a time; rows between theirs are dragged along."""
    device, rows = model.device, row_range([answer.state for answer in answers])
    place = {answer.state.row - rows.start: answer for answer in answers}
    columns, ids = list(cache.lengths[rows]), [0] * (rows.stop - rows.start)
    longest = max(columns) + max(answer.limit for answer in answers)
    mask_RL = torch.arange(longest, device=device)[None] < torch.tensor(columns, device=device)[:, None]
    positions = [0] * len(ids)
    for number, answer in place.items():
        ids[number], positions[number] = answer.first, answer.state.next_position
        answer.state.written = []
    needs_grid, all_rows = hasattr(model.model, "get_rope_index"), torch.arange(len(ids), device=device)
    open_rows = set(place)
    while True:
        for number in sorted(open_rows):
            written, limit = place[number].state.written, place[number].limit
            written.append(ids[number])
            if ids[number] in ends or len(written) >= limit:
                open_rows.discard(number)
        if not open_rows:
            break
        columns_R, end = torch.tensor(columns, device=device), max(columns) + 1
        mask_RL[all_rows, columns_R] = True
        cache.aim(rows, columns_R, end)
        positions_R1 = torch.tensor(positions, device=device)[:, None]
        output = model(
            input_ids=torch.tensor(ids, device=device)[:, None],
            attention_mask=mask_RL[:, None, None, :end] if together else None,
            position_ids=positions_R1.expand(3, -1, -1) if needs_grid else positions_R1,
            past_key_values=cache,
            use_cache=True,
        )
        ids = output.logits[:, -1].argmax(dim=-1).tolist()
        for number in open_rows:
            columns[number] += 1
            positions[number] += 1
    for number, answer in place.items():
        cache.lengths[answer.state.row] = columns[number]
