"""MMBench: multiple-choice questions, each asked once for every rotation of its options.

Source: VLMEvalKit's MMBench_{DEV,TEST}_EN[_V11].tsv, or Hub lmms-lab-encoder/MMBench (config en, split dev)
Licence: Apache-2.0 · Rows: 4876 in 1292 groups (DEV_EN_V11)
Metric: accuracy of whole groups · Paper: arXiv 2307.06281
"""

from eval_tasks.readers.lmms_letters import read_marked_letter
from eval_tasks.readers.multiple_choice import LETTER_DIRECTLY, VLMEVALKIT, ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows

LMMS_FORM = "{hint} {question} There are several options:\n{options}" + LETTER_DIRECTLY
ROWS = ChoiceRows(
    HubRows("lmms-lab-encoder/MMBench", "dev", config="en"),
    circular=True,
    stem="MMBench",
    lmms_form=LMMS_FORM,
    lmms_read=read_marked_letter,
)
TASK = choice_task("mmbench", __doc__, ROWS, (*VLMEVALKIT, "lmms-eval@0.7"))
