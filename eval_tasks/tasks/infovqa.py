"""InfographicVQA: questions about infographics; validation split, the test split's answers are hidden.

Source: Hub lmms-lab-encoder/DocVQA (configuration InfographicVQA, split validation), or VLMEvalKit's InfoVQA_VAL.tsv
Licence: see the Hub card · Rows: all of the split
Metric: ANLS, 0 below a half · Paper: arXiv 2104.12756

Prompt and scorer: VLMEvalKit image_vqa.py and utils/vqa_eval.py (August 2026); lmms-eval's scorer is the same.
"""

from eval_tasks.readers.short_answer import ShortAnswerRows, anls
from eval_tasks.rows.benchmark_table import HubRows

HUB = HubRows("lmms-lab-encoder/DocVQA", "validation", "InfographicVQA", columns=(("answer", "answers"),))
TASK = ShortAnswerRows(HUB, "InfoVQA", anls, "ANLS", task="infovqa").task("infovqa", __doc__)
