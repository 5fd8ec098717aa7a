"""MM-NIAH: find, count and reason about needles, as text or image, in long documents with images.

Source: VLMEvalKit's MM_NIAH_VAL.tsv and MM_NIAH_TEST.tsv
Licence: see the card of OpenGVLab/MM-NIAH · Rows: all of the table
Metric: accuracy over rows, and by task · Paper: arXiv 2406.07230

Columns (question: a list of document and question, multi-choice options: a list of texts and of images, answer,
category), prompt and scorer: VLMEvalKit image_vqa.py and utils/mmniah.py (August 2026). There an answer to a choice is
the number of the option; the others are right if the gold stands in the reply as a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from eval_tasks.readers.short_answer import ShortAnswerRows, vqa_shape
from eval_tasks.readers.yes_no import ONE_WORD, vqa_punctuation
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.rows.table_files import to_list
from eval_tasks.task import Row, Sample

CHOICES = ("visual-reasoning", "find-image")
DIRECTLY = "\nAnswer with the option's letter from the given choices directly."
_TENS = "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_NUMBERS = {word: str(number) for number, word in enumerate(_TENS, start=11)}
_NUMBERS |= {
    word: str(10 * number)
    for number, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
_LEFT, _RIGHT = "the camera is moving left", "the camera is moving right"


def ask(row: Row, question: str) -> str:
    """Document, question and options, images at their places."""
    text = "\n".join(map(str, to_list(row["question"], "MM-NIAH question")))
    texts, images = (*to_list(row.get("multi-choice options"), "MM-NIAH options"), [], [])[:2]
    listed = texts or ["<image>"] * len(images or [])
    lines = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, listed, strict=False)]
    return "\n".join([text, *lines]) + (DIRECTLY if lines else ONE_WORD)


def points(reply: str, golds: Sequence[str]) -> float:
    """1 for the option of that number, or where the gold stands in the reply as words.

    Args:
        reply: the reply.
        golds: the gold answer, and `choice` if it is the number of an option.
    """
    said = reply.strip(".")
    if len(golds) == 1:
        return float(_stands_in(_words(golds[0]), _words(said)))
    if said.isdigit():
        return float(int(said) == int(golds[0]))
    said = said.lower().replace("the answer is", "").replace("*", "")
    said = (said.partition(".")[0].replace(",", "") if "." in said else said).strip()
    said = "a" if _LEFT in said else "b" if _RIGHT in said else said
    return float(len(said) == 1 and ord(said) - ord("a") == int(golds[0]))


def _stands_in(words: str, text: str) -> bool:
    """Whether a text has these words, between boundaries of words."""
    at = text.find(words)
    while at >= 0 and not (_is_boundary(text, at) and _is_boundary(text, at + len(words))):
        at = text.find(words, at + 1)
    return at >= 0


def _is_boundary(text: str, at: int) -> bool:
    before, after = (sign.isalnum() or sign == "_" for sign in (text[at - 1 : at] if at else "", text[at : at + 1]))
    return before != after


def _words(text: str) -> str:
    said = vqa_punctuation(text.replace("\n", " ").replace("\t", " ").strip(), today=False)
    return vqa_shape(said, _NUMBERS)


class NiahRows(ShortAnswerRows):
    """The rows; the number of an option is marked as one."""

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row.

        Raises:
            ValueError: a column is missing, or the answer to a choice is no number.
        """
        place = f"row {number}"
        category, answer = require_cells(row, ("category", "answer"), place)
        if category not in CHOICES:
            return super().to_sample({**row, "answer": [str(answer)]}, rules, number, has_gold)
        try:
            gold = str(int(float(answer)))
        except ValueError as error:
            raise ValueError(f"{place}: the answer is {answer!r}, expected the number of an option") from error
        return super().to_sample({**row, "answer": [gold, "choice"]}, rules, number, has_gold)


ROWS = NiahRows(HubRows("OpenGVLab/MM-NIAH", "val"), "MM_NIAH", points, "accuracy", "", question=ask)
TASK = ROWS.task("mm_niah", __doc__)
