"""TextVQA: questions about text in photographs, ten answers each; validation split.

Source: Hub lmms-lab-encoder/textvqa (split validation), or VLMEvalKit's TextVQA_VAL.tsv
Licence: see the Hub card · Rows: 5000
Metric: VQA accuracy over the ten answers · Paper: arXiv 1904.08920

Prompt and scorer: VLMEvalKit image_vqa.py and utils/vqa_eval.py (August 2026); no OCR tokens are shown. Ours: rare
contractions of its list (`yall'd've`, `'ow's'at`) keep their form.
"""

from eval_tasks.readers.short_answer import ShortAnswerRows, vqa_accuracy
from eval_tasks.rows.benchmark_table import HubRows

HUB = HubRows("lmms-lab-encoder/textvqa", "validation", columns=(("answer", "answers"),))
TASK = ShortAnswerRows(HUB, "TextVQA", vqa_accuracy, "VQA accuracy", task="textvqa").task("textvqa", __doc__)
