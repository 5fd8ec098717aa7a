"""Reason-RFT's test sets: counting (CLEVR-Math, Super-CLEVR), geometry (GeoMath, Geometry3K), transformations (TRANCE).

Source: a test file of Hub tanhuajie2001/Reason-RFT-CoT-Dataset with its images (--data FILE), one at a time
Licence: see the Hub card · Rows: all of the file
Metric: mean points, and by level or type · Paper: arXiv 2503.20752

Columns (problem, solution or answer, image, level or type), the answer's tags and the points of a transformation:
the repository's eval/ scripts. They compare formulas with math_verify, which also finds a number among other words
(`answer 12`); here numbers by value and other answers by their text, and the answer stands alone. The rules of a
transformation, a page of text there, aren't asked for: numbers of TRANCE stand apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from eval_tasks.readers.judged_rows import to_number
from eval_tasks.readers.short_answer import ShortAnswerRows
from eval_tasks.rows.benchmark_table import HubRows

CLOSING = " Output the thinking process in <think> </think> and final answer in <answer> </answer> tags."
COLUMNS = (("question", "problem"), ("answer", "solution"), ("category", "level"), ("category", "type"))
_STEP = re.compile(r"\b(\w+)\((\w+),[^\S\n]*'?(\w+)'?\)")
_SHARES = (((0, 1, 2), 1.0), ((0, 1), 0.5), ((0, 2), 0.5), ((0,), 0.25))  # what agrees -> share of a step's points


def final_of(reply: str) -> str:
    """What stands in the answer's tags, else all of the reply."""
    _, opened, rest = reply.partition("<answer>")
    said, closed, _ = rest.partition("</answer>")
    return said.strip() if opened and closed else reply.strip()


def points(reply: str, golds: Sequence[str]) -> float:
    """1 for the gold answer or its number; of a transformation the share of its steps."""
    said, gold = final_of(reply), golds[0].strip()
    if wanted := list(dict.fromkeys(_STEP.findall(gold))):
        return _shared(list(dict.fromkeys(_STEP.findall(said))), wanted)
    number = to_number(gold)
    return float(said == gold or (number is not None and to_number(said) == number))


def _shared(said: list[tuple[str, str, str]], wanted: list[tuple[str, str, str]]) -> float:
    """The points of steps: whole ones, then those that share function and object, or value, or the function alone."""
    total, of_step = 0.0, 1.0 / max(len(said), len(wanted))
    for parts, share in _SHARES:
        for step in list(said):
            match = next((one for one in wanted if all(one[part] == step[part] for part in parts)), None)
            if match is not None:
                said.remove(step)
                wanted.remove(match)
                total += of_step * share
    return total


HUB = HubRows("tanhuajie2001/Reason-RFT-CoT-Dataset", "test", columns=COLUMNS)
ROWS = ShortAnswerRows(HUB, "Reason-RFT", points, "points", CLOSING, rules=("mmcr@2026-11",))
TASK = ROWS.task("reason_rft", __doc__)
