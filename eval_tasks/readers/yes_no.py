"""Parse replies to yes/no questions by the rules of each harness."""

from __future__ import annotations

import re
from collections.abc import Sequence

from eval_tasks.readers.judged_answer import fence_reply
from eval_tasks.task import Sample

ONE_WORD = "\nAnswer the question using a single word or phrase."
_VQA_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'


def read_yes_no(reply: str, rules: str) -> str | None:
    """`yes` or `no` in a reply, None if it can't be parsed.

    `official` and `lmms-eval` use the first four characters (MME's eval_tool), the latter without periods and with
    a single y or n; `vlmevalkit` uses the words.
    """
    if rules.startswith(("official", "lmms-eval")):
        said = reply.lower()
        if rules.startswith("lmms-eval"):
            said = said.strip().replace(".", "")
            said = {"y": "yes", "n": "no"}.get(said, said)
        return "yes" if "yes" in said[:4] else "no" if "no" in said[:4] else None
    words = vqa_punctuation(reply.lower(), today=rules >= "vlmevalkit@2025-05").split()
    says = {word for word in ("yes", "no") if word in words}
    return says.pop() if len(says) == 1 else None


def yes_no_of(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str | None:
    """`yes` or `no` in a reply, else in the judge's verdict. Args: see `Task.score`."""
    return read_yes_no(replies[0], rules) or read_yes_no(str(verdict), "vlmevalkit@2026-06")


def yes_no_to_judge(sample: Sample, replies: Sequence[str], rules: str) -> str:
    """The judge's prompt: does the reply mean yes or no?"""
    question = sample.dialogue.turns[0].human_text
    return (
        "Does a reply to a question mean yes or no? Say Yes, No, or Unknown, and nothing else.\n\n"
        f"Question:\n{question}\n\n{fence_reply(replies[0])}\n\nYes, No or Unknown:"
    )


def vqa_punctuation(text: str, today: bool) -> str:
    """Remove punctuation like the VQA evaluation, including its bugs, which are part of published numbers.

    A character next to a space anywhere is removed everywhere, else replaced by a space; only the first 32 periods
    not before a digit are removed (it passes `re.UNICODE`, which is 32, as the count). Since May 2025 (`today`) those
    after a digit are kept too. Source: VQA v2 evaluation, vqaEval.py; VLMEvalKit smp/misc.py.
    """
    comma_in_number = re.search(r"(\d)(,)(\d)", text) is not None
    said = text
    for mark in _VQA_PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        said = said.replace(mark, "" if beside_space or comma_in_number else " ")
    return re.sub(r"(?<!\d)\.(?!\d)" if today else r"\.(?!\d)", "", said, count=32)
