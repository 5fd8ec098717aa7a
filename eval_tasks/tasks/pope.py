"""POPE: is an object in the image? Yes/no questions about objects that are there and that could be.

Source: Hub lmms-lab-encoder/POPE (split test), or VLMEvalKit's POPE.tsv
Licence: see the Hub card · Rows: 9000
Metric: F1 of yes over all rows; accuracy, precision, recall, share of yes · Paper: arXiv 2305.10355

Prompt: lmms-eval pope.yaml (0.7.2). Reader and F1: VLMEvalKit utils/yorn.py (August 2026); lmms-eval
compares the whole reply, so that "Yes." is wrong there. VLMEvalKit counts
a row of several categories once for each; here every row counts once.
"""

from eval_tasks.readers.yes_no import ONE_WORD
from eval_tasks.readers.yes_no_rows import YesNoRows
from eval_tasks.rows.benchmark_table import HubRows

TASK = YesNoRows(HubRows("lmms-lab-encoder/POPE", "test"), "POPE", ONE_WORD, first="F1", task="pope").task(
    "pope", __doc__
)
