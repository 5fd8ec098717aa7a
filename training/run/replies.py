"""Replies of the model in training to held-out dialogues, turn by turn with its own replies in the history.

Written as a page with the images, and as JSON lines.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mmcr_dataset.pages.render import render_page
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.images import ImageError, decode_rgb
from mmcr_dataset.stage.stages import write_jsonl, write_text
from training.data.conversation import Conversation, Skipped, to_conversation
from training.data.encode import LIMITS, Encoder
from training.data.held_out import EvalRows

_TEMPLATE = Path(__file__).with_name("replies.html")
_MOST_TOKENS = 128  # of a reply


class Replied(NamedTuple):
    """A dialogue and the replies of the model."""

    dialogue: Dialogue
    replies: list[str]


def write_replies(trainer: Any, rows: EvalRows, encoder: Encoder, count: int, folder: Path) -> None:
    """Reply to the first held-out dialogues on all ranks, and write `replies-STEP.html` and `.jsonl` on rank 0."""
    shown = []
    for index in range(min(count, len(rows))):
        try:
            conversation = to_conversation(rows[index])
            with torch.no_grad(), trainer.compute_loss_context_manager():
                shown.append(reply(trainer, conversation, encoder))
        except (Skipped, ImageError):
            continue  # counted where its loss is measured
    if not trainer.is_world_process_zero():
        return
    step = trainer.state.global_step
    lines = [
        {
            "step": step,
            "id": dialogue.id,
            "domain": dialogue.domain,
            "turns": [
                {"asked": turn.human_text, "reference": turn.assistant, "reply": said}
                for turn, said in zip(dialogue.turns, replies, strict=True)
            ],
        }
        for dialogue, replies in shown
    ]
    name = f"replies-{step:06d}"
    write_jsonl(folder / f"{name}.jsonl", lines)
    page = render_page(
        _TEMPLATE,
        title=f"Replies after step {step}",
        lead=f"{len(shown)} held-out dialogues; at most {_MOST_TOKENS} tokens a reply",
        shown=[(one.dialogue, [[("reply", said)] for said in one.replies]) for one in shown],
    )
    write_text(folder / f"{name}.html", page)


def reply(trainer: Any, conversation: Conversation, encoder: Encoder) -> Replied:
    """The replies to the turns of a dialogue, greedy.

    Raises:
        ImageError: an image can't be decoded.
        Skipped: a text can't be encoded.
    """
    dialogue, replies = conversation.dialogue, list[str]()
    encoder.render(conversation)
    images = [encoder.limits.resize(decode_rgb(image.data, LIMITS)) for image in dialogue.images]
    model = trainer.accelerator.unwrap_model(trainer.model)
    for turn in range(len(dialogue.turns)):
        text = encoder.render_text(conversation.messages_so_far(replies), ask=True)
        shown = images[: _num_images(dialogue, turn)]
        asked = encoder.processor(
            text=[text],
            images=[shown] if shown else None,
            add_special_tokens=encoder.adds_special_tokens(text),
            return_tensors="pt",
        )
        asked = trainer._prepare_inputs(dict(asked.to(dtype=torch.float32)))
        said = model.generate(**asked, max_new_tokens=_MOST_TOKENS, do_sample=False)
        new = said[0, asked["input_ids"].shape[1] :]
        replies.append(encoder.processor.tokenizer.decode(new, skip_special_tokens=True).strip())
    return Replied(dataclasses.replace(dialogue), replies)


def _num_images(dialogue: Dialogue, turn: int) -> int:
    """Images shown up to and including a turn."""
    return max(
        (block for one in dialogue.turns[: turn + 1] for block in one.human if isinstance(block, int)), default=0
    )
