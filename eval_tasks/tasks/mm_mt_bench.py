"""MM-MT-Bench: dialogues about one image; each answer is asked after the true answers before it, and judged.

Source: Hub mistralai/MM-MT-Bench (split eval)
Licence: see the Hub card · Rows: 92 dialogues, one sample an answer
Metric: mean score of all answers, 1 to 10; by category and by turn · Paper: arXiv 2410.07073

Columns, history, scale and the form of a verdict: mistral-evals eval/tasks/mm_mt_bench.py (d61811f). Ours: the judge
reads text only (the published one, gpt-4o-2024-05-13, sees the image), the words of its prompt, the last rating counts,
and an answer without a rating counts as 0. So numbers of this task stand apart from published ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from eval_tasks.readers.judged_answer import fence_reply, judged_task
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import images_of, load_rows, require_cells, to_text
from eval_tasks.rows.table_files import json_value
from eval_tasks.task import Points, Row, Sample, Scored, Total
from eval_tasks.totals import mean_total, totals_by
from mmcr_dataset.record.dialogue import Block, Dialogue, Turn

HUB = HubRows("mistralai/MM-MT-Bench", "eval")
HIGHEST = 10.0
_RATING = re.compile(r"\[\[(\d+(?:\.\d*)?)\]\]")


def samples(data: str | None, rules: str) -> Iterator[Sample]:
    """One sample for each answer of each dialogue."""
    for number, row in enumerate(load_rows(data, HUB, "MM-MT-Bench")):
        yield from to_samples(row, number)


def to_samples(row: Row, number: int) -> Iterator[Sample]:
    """The samples of a dialogue: its first turns, with one answer more each time.

    Raises:
        ValueError: a column is missing, or the messages aren't questions and answers in turn.
    """
    place = f"MM-MT-Bench row {number}"
    text, category = require_cells(row, ("conversation", "category"), place)
    messages = json_value(text, place) if isinstance(text, str) else text
    roles = [message.get("role") for message in messages]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        raise ValueError(
            f"{place}: expected user and assistant in turn, found {', '.join(map(str, roles)) or 'nothing'}"
        )
    pairs = zip(messages[::2], messages[1::2], strict=True)
    turns = tuple(Turn(_blocks(asked["content"], place), to_text(said["content"])) for asked, said in pairs)
    images = tuple(images_of(row, place))
    for end in range(1, len(turns) + 1):
        dialogue = Dialogue(f"{number}-turn-{end}", turns[:end], images)
        yield Sample(dialogue, {"category": str(category), "turn": str(end)}, f"{number}", num_given_turns=end - 1)


def _blocks(content: str | list[dict[str, Any]], place: str) -> tuple[Block, ...]:
    """The blocks of a question; the row's image stands where its chunk is."""
    if isinstance(content, str):
        return (to_text(content),)
    kinds = {str(chunk.get("type")) for chunk in content}
    if kinds - {"image", "text"}:
        raise ValueError(f"{place}: a chunk of type {', '.join(sorted(kinds))}, expected image or text")
    return tuple(1 if chunk["type"] == "image" else to_text(chunk["text"]) for chunk in content)


def to_judge(sample: Sample, replies: Sequence[str], rules: str) -> str:
    """The judge's prompt: the dialogue with its reference answers, and the reply to the last question."""
    said = "\n\n".join(
        f"Question {number}:\n{turn.human_text}\n\nReference answer {number}:\n{turn.assistant}"
        for number, turn in enumerate(sample.dialogue.turns, start=1)
    )
    return (
        "Judge the reply of an assistant to the last question of a dialogue about an image, which you don't see. Is it "
        "correct and helpful? Compare it with the reference answer, name its mistakes, and then rate it from 1 to 10 "
        f"as in this example: Rating: [[5]]\n\n{said}\n\n{fence_reply(replies[0])}\n\nYour comparison and rating:"
    )


def score(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
    """The rating, None without one of 1 to 10. Args: see `Task.score`."""
    said = read(sample, replies, rules, verdict)
    return {"score": None if said is None else float(said)}


def read(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str | None:
    """The last rating of the verdict. Args: see `Task.score`."""
    found = _RATING.findall(str(verdict or ""))
    return str(found[-1]) if found and 1 <= float(found[-1]) <= HIGHEST else None


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """The mean rating of all answers, and by category and turn."""
    found = {"score": mean_total(scored, "score", 1.0, HIGHEST)}
    found |= totals_by(scored, "category", "score", 1.0, HIGHEST)
    return found | {f"turn {n}": one for n, one in totals_by(scored, "turn", "score", 1.0, HIGHEST).items()}


MORE = {"verdict_keys": (), "max_judge_tokens": 2048, "rules": ("mmcr@2026-08",)}
TASK = judged_task("mm_mt_bench", __doc__, samples, score, totals, to_judge, read, **MORE)
