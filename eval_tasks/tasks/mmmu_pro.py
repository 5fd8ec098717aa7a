"""MMMU-Pro, standard: MMMU's questions with ten options, images between the words.

Source: Hub MMMU/MMMU_Pro (configuration "standard (10 options)", split test), or VLMEvalKit's MMMU_Pro_10c.tsv
Licence: see the Hub card · Rows: all of the split
Metric: accuracy, by subject · Paper: arXiv 2409.02813

Columns, prompt and parser: lmms-eval mmmu_pro/utils.py (0.7.2), without its random guess; there images come first.
"""

from eval_tasks.readers.mmmu_answer import read_choice
from eval_tasks.readers.multiple_choice import ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows

ROWS = ChoiceRows(
    HubRows("MMMU/MMMU_Pro", "test", "standard (10 options)", columns=(("category", "subject"),)),
    stem="MMMU_Pro_10c",
    lmms_form="{question}\n{options}\n\nAnswer with the option letter from the given choices directly.",
    lmms_read=read_choice,
)
TASK = choice_task("mmmu_pro", __doc__, ROWS, ("lmms-eval@0.7",))
