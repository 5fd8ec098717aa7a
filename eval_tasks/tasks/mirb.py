"""MIRB: perception, knowledge, reasoning and multi-hop questions about several images.

Source: Hub VLLMs/MIRB-hf (split test); columns, prompts and scorer: lmms-eval mirb/utils.py (0.7.2)
Licence: MIT · Rows: 969
Metric: accuracy over all rows, and by subset · Paper: arXiv 2406.12742

A letter is read where the gold is A to E, otherwise MMMU's open parser, as in lmms-eval. Unlike there, a single letter
in lower case is read. MIRB's own evals/eval.py has a rule for each subset (a number, the gold within, yes or not) and
applies it to the first sentence.
"""

from __future__ import annotations

from collections.abc import Sequence

from eval_tasks.readers.lmms_letters import read_lone_letter
from eval_tasks.readers.mmmu_answer import is_open_right, read_open
from eval_tasks.readers.short_answer import ShortAnswerRows
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.task import Row

COLUMNS = (("question", "questions"), ("answer", "answers"), ("image", "image_list"), ("category", "subset"))
WORD, SYMBOL = "Answer with a single word.", "Answer with the option symbol."
ASKED = dict.fromkeys(("analogy", "attribute", "plot_code", "visual_chain", "sightseeing"), WORD)
ASKED |= dict.fromkeys(("codeu", "food", "image_jigsaw"), SYMBOL)
ASKED |= {"arxiv": "Answer with the paper title.", "count": "Answer with a single number."}
ASKED["3d_scene"] = "The following images are different views of the same 3D scene. Answer with a single number."


def ask(row: Row, question: str) -> str:
    """The instruction of the row's subset, and its question."""
    subset = str(require_cells(row, ("category",), "MIRB row")[0])
    if subset not in ASKED:
        raise ValueError(f"MIRB row: subset {subset!r}, expected one of {', '.join(ASKED)}")
    return ASKED[subset] + question


def points(reply: str, golds: Sequence[str]) -> float:
    """1 for the right letter or the right text."""
    if golds[0] in ("A", "B", "C", "D", "E"):
        return float(read_lone_letter(reply, {}) == golds[0])
    return float(is_open_right(read_open(reply), golds))


HUB = HubRows("VLLMs/MIRB-hf", "test", columns=COLUMNS)
TASK = ShortAnswerRows(HUB, "MIRB", points, "accuracy", "", question=ask, rules=("lmms-eval@0.7",)).task(
    "mirb", __doc__
)
