"""AI2D: multiple-choice questions about school-book diagrams, test split.

Source: Hub lmms-lab-encoder/ai2d (split test), or VLMEvalKit's AI2D_TEST.tsv
Licence: CC BY-SA 4.0 · Rows: 3088
Metric: accuracy · Paper: arXiv 1603.07396
"""

from eval_tasks.readers.lmms_letters import read_leading_letter
from eval_tasks.readers.multiple_choice import VLMEVALKIT, ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows

ROWS = ChoiceRows(HubRows("lmms-lab-encoder/ai2d", "test"), stem="AI2D", lmms_read=read_leading_letter)
TASK = choice_task("ai2d", __doc__, ROWS, (*VLMEVALKIT, "lmms-eval@0.7"))
