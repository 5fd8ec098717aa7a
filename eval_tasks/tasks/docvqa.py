"""DocVQA: questions about scanned documents; validation split, the test split's answers are hidden.

Source: Hub lmms-lab-encoder/DocVQA (configuration DocVQA, split validation), or VLMEvalKit's DocVQA_VAL.tsv
Licence: see the Hub card · Rows: all of the split
Metric: ANLS, 0 below a half · Paper: arXiv 2007.00398

Prompt and scorer: VLMEvalKit image_vqa.py and utils/vqa_eval.py (August 2026); lmms-eval's scorer is the same.
"""

from eval_tasks.readers.short_answer import ShortAnswerRows, anls
from eval_tasks.rows.benchmark_table import HubRows

HUB = HubRows("lmms-lab-encoder/DocVQA", "validation", "DocVQA", columns=(("answer", "answers"),))
TASK = ShortAnswerRows(HUB, "DocVQA", anls, "ANLS", task="docvqa").task("docvqa", __doc__)
