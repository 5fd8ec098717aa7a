"""LogicVista: logical reasoning about figures, with one or several right letters.

Source: VLMEvalKit's LogicVista.tsv, or Hub lscpku/LogicVista (split test)
Licence: see the Hub card · Rows: all of the table
Metric: accuracy, and by skill (a question may have several) · Paper: arXiv 2407.04973

Columns, the question as the whole prompt and skills: VLMEvalKit image_vqa.py and utils/logicvista.py (August 2026). It
lets a chat model extract the letters of every reply; here a reply of letters alone, or in a box, is read by rules, and
--judge decides the rest. Without a judge an explanation is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from eval_tasks.readers.judged_rows import JudgedRows, last_boxed
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.task import Scored, Total
from eval_tasks.totals import mean_total

SKILLS = ("inductive", "deductive", "numerical", "spatial", "mechanical")
_LETTERS = re.compile(r"[(\s]*([A-Z])(?:[)\s.,;&]|and)*")


def letters_of(text: str) -> set[str] | None:
    """The letters of a text that holds nothing else: `B`, `(A), C.`, `A and D`."""
    found, place = [], 0
    while place < len(text) and (match := _LETTERS.match(text, place)):
        found.append(match[1])
        place = match.end()
    return set(found) if found and place == len(text) else None


def points(reply: str, golds: Sequence[str]) -> float | None:
    """1 for exactly the right letters; None for a reply of more than letters."""
    said = letters_of(last_boxed(reply))
    return None if said is None else float(said == letters_of(golds[0].upper()))


class LogicRows(JudgedRows):
    """The rows, with a total for each skill."""

    def totals(self, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
        """Accuracy, and accuracy over the questions of each skill."""
        found = {"accuracy": mean_total(scored, "accuracy")}
        for skill in SKILLS:
            of_skill = [one for one in scored if skill in str(one.sample.target["skill"])]
            if of_skill:
                found[skill] = mean_total(of_skill, "accuracy")
        return found


HUB = HubRows("lscpku/LogicVista", "test")
ROWS = LogicRows(HUB, "LogicVista", points, "accuracy", "", level="skill")
TASK = ROWS.task("logicvista", __doc__)
