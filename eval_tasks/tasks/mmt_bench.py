"""MMT-Bench: 162 subtasks of vision-language understanding, several images among them; validation split.

Source: VLMEvalKit's MMT-Bench_VAL_MI.tsv (images one by one; MMT-Bench_VAL.tsv joins them), or Hub
lmms-lab-encoder/MMT_MI-Benchmark (split val); columns: lmms-eval mmt/utils.py (0.7.2)
Licence: see the Hub card · Rows: all of the split
Metric: accuracy, by kind of task and subtask · Paper: arXiv 2404.16006

Up to nine options. lmms-eval guesses a letter at random where it reads none; here nothing read is wrong.
"""

from eval_tasks.readers.multiple_choice import VLMEVALKIT, ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows

ROWS = ChoiceRows(HubRows("lmms-lab-encoder/MMT_MI-Benchmark", "val"), stem="MMT-Bench_VAL_MI")
TASK = choice_task("mmt_bench", __doc__, ROWS, VLMEVALKIT)
