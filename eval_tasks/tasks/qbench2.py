"""Q-Bench2: multiple-choice questions that compare the quality of two images; dev split.

Source: Hub q-future/Q-Bench2-HF (split dev); columns, prompt and parser: lmms-eval qbench/utils.py (0.7.2)
Licence: see the Hub card · Rows: all of the split
Metric: accuracy, without lmms-eval's random guess · Paper: arXiv 2402.07116
"""

from collections.abc import Iterator

from eval_tasks.readers.mmmu_answer import read_choice
from eval_tasks.readers.multiple_choice import LMMS_FORM, ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import load_rows
from eval_tasks.task import Row

COLUMNS = tuple((letter, f"option{number}") for number, letter in enumerate("ABCD"))
COLUMNS += (("image_1", "image1"), ("image_2", "image2"), ("answer", "correct_choice"))
HUB = HubRows("q-future/Q-Bench2-HF", "dev", columns=COLUMNS)


def load(data: str | None) -> Iterator[Row]:
    """The rows without their empty options, which say N/A."""
    for row in load_rows(data, HUB, "Q-Bench2"):
        yield {name: cell for name, cell in row.items() if not (name in "ABCD" and cell == "N/A")}


ROWS = ChoiceRows(HUB, lmms_form=LMMS_FORM + "\n", lmms_read=read_choice, load=load)
TASK = choice_task("qbench2", __doc__, ROWS, ("lmms-eval@0.7",))
