"""ReasonMap-Plus: counting and yes/no questions about large metro maps.

Source: VLMEvalKit's ReasonMap-Plus.tsv (md5 205d3ac1c3af07d3e4930f25e01008be)
Licence: see the card of FSCCS/ReasonMap · Rows: all of the table
Metric: accuracy weighted by difficulty (easy 1, middle 1.5, hard 2), plain, by type · Paper: arXiv 2510.02240

Columns, the question as the whole prompt, and the scorer: VLMEvalKit reasonmap_plus.py (August 2026). The maps are very
large: cap their pixels in the model's settings, which results.json names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from eval_tasks.readers.judged_rows import BOXED
from eval_tasks.readers.short_answer import ShortAnswerRows
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.task import Row, Sample, Scored, Total, Unit

WEIGHTS = {"easy": 1.0, "middle": 1.5, "hard": 2.0}
_LETTER, _NUMBER = re.compile(r"\b([ABCD])\b", re.IGNORECASE), re.compile(r"([-+]?\d+)")
_TEXT = re.compile(r"\\text\{([^{}]*)\}", re.IGNORECASE)
_LEADS: tuple[str, ...] = (
    "the final answer is",
    "final answer is",
    "the answer is",
    "answer is",
    "the correct answer is",
)
_LEADS += ("correct answer is", "final answer:", "final:", "answer:", "ans:")
_SAID = {"yes": "yes", "y": "yes", "true": "yes", "t": "yes", "1": "yes"}
_SAID |= {"no": "no", "n": "no", "false": "no", "f": "no", "0": "no"}


def points(reply: str, golds: Sequence[str]) -> float | None:
    """1 for the right answer of its type, None if there is none to read.

    Args:
        reply: the reply.
        golds: the type (TorF..., Counting1: a letter, Counting2 and 3: a number), and the answer as a number.
    """
    kind, gold = golds[0].lower(), int(golds[1])
    said, whole = _conclusion(reply.strip()), reply.strip()
    if "torf" in kind:
        word = _SAID.get(said.strip().lower()) or _SAID.get(whole.lower())
        return None if word is None else float(word == ("yes" if gold == 1 else "no"))
    if "counting1" in kind:
        letter = _first(_LETTER, said, whole)
        return None if letter is None else float("ABCD".index(letter.upper()) == gold)
    number = _first(_NUMBER, said, whole)
    return None if number is None else float(int(number) == gold)


def _conclusion(reply: str) -> str:
    """What a reply puts into a box or behind a lead, else all of it."""
    if boxed := BOXED.findall(reply):
        return " ".join(text.strip() for text in _TEXT.findall(boxed[-1])) or str(boxed[-1]).strip()
    low = reply.lower()
    lead = next((lead for lead in _LEADS if lead in low), None)
    if lead is None:
        return reply
    return re.split(r"\n|\. |\.$", reply[low.rfind(lead) + len(lead) :].strip(), maxsplit=1)[0].strip()


def _first(pattern: re.Pattern[str], *texts: str) -> str | None:
    found = next((match for text in texts if (match := pattern.search(text))), None)
    return found.group(1) if found else None


class MapRows(ShortAnswerRows):
    """The rows, their difficulty kept for the weights."""

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row.

        Raises:
            ValueError: a column is missing, or the answer or the difficulty is another one.
        """
        place = f"row {number}"
        kind, level, answer = require_cells(row, ("type", "difficulty_city", "answer"), place)
        if level not in WEIGHTS:
            raise ValueError(f"{place}: difficulty_city {level!r}, expected one of {', '.join(WEIGHTS)}")
        try:
            gold = str(int(float(answer)))
        except ValueError as error:
            raise ValueError(f"{place}: the answer is {answer!r}, expected a whole number") from error
        sample = super().to_sample({**row, "answer": [str(kind), gold]}, rules, number, has_gold)
        return Sample(sample.dialogue, {**sample.target, "difficulty": level}, group=str(row.get("city", sample.group)))

    def totals(self, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
        """Weighted accuracy, accuracy, and accuracy by type."""
        units = []
        for one in scored:
            weight = WEIGHTS[one.sample.target["difficulty"]]
            right = 0.0 if one.is_lost else one.points.get("accuracy") or 0.0
            units.append(Unit(one.sample.group, weight * right, is_lost=one.is_lost, size=weight))
        return {"weighted accuracy": Total(units), **super().totals(scored, rules)}


HUB = HubRows("FSCCS/ReasonMap-Plus", "test")
ROWS = MapRows(HUB, "ReasonMap-Plus", points, "accuracy", "", level="type", rules=("vlmevalkit@2026-08",))
TASK = ROWS.task("reasonmap_plus", __doc__)
