"""MMStar: 1500 multiple-choice questions that can't be answered without the image.

Source: Hub Lin-Chen/MMStar (split val), or VLMEvalKit's MMStar.tsv
Licence: see the Hub card · Rows: 1500
Metric: accuracy; lmms-eval prints the mean of 18 categories · Paper: arXiv 2403.20330
"""

from eval_tasks.readers.lmms_letters import read_among_four
from eval_tasks.readers.multiple_choice import VLMEVALKIT, ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows

LMMS_FORM = "{question}\nAnswer with the option's letter from the given choices directly"  # lists its options itself
ROWS = ChoiceRows(
    HubRows("Lin-Chen/MMStar", "val"),
    stem="MMStar",
    macro="l2_category",
    lmms_form=LMMS_FORM,
    lmms_read=read_among_four,
    task="mmstar",
)
TASK = choice_task("mmstar", __doc__, ROWS, (*VLMEVALKIT, "lmms-eval@0.7", "official"))
