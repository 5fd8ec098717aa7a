"""MMMU-Pro, vision: question and ten options stand in the image.

Source: Hub MMMU/MMMU_Pro (configuration vision, split test), or VLMEvalKit's MMMU_Pro_V.tsv
Licence: see the Hub card · Rows: all of the split
Metric: accuracy, by subject; MMMU-Pro's overall number is the mean of this and mmmu_pro · Paper: arXiv 2409.02813

Columns and prompt: lmms-eval mmmu_pro/utils.py (0.7.2). It compares the whole reply with the letter; here the letter is
read as in mmmu_pro, so that "B." is B.
"""

from eval_tasks.readers.mmmu_answer import read_choice
from eval_tasks.readers.multiple_choice import ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import load_rows

HUB = HubRows("MMMU/MMMU_Pro", "test", "vision", columns=(("category", "subject"),))
ROWS = ChoiceRows(
    HUB,
    lmms_form="Answer with the option letter from the given choices directly.",
    lmms_read=read_choice,
    load=lambda data: ({"question": "", **row} for row in load_rows(data, HUB, "MMMU_Pro_V")),
)
TASK = choice_task("mmmu_pro_vision", __doc__, ROWS, ("lmms-eval@0.7",))
