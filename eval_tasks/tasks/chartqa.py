"""ChartQA: questions about charts, half of them written by people; test split.

Source: Hub lmms-lab-encoder/ChartQA (split test), or VLMEvalKit's ChartQA_TEST.tsv
Licence: see the Hub card · Rows: 2500
Metric: relaxed accuracy (numbers within 5 %), and by half · Paper: arXiv 2203.10244

Prompt and scorer: VLMEvalKit image_vqa.py and utils/vqa_eval.py (August 2026). A trailing % divides by 100, as there.
"""

from eval_tasks.readers.short_answer import ShortAnswerRows, is_relaxed, was_relaxed
from eval_tasks.rows.benchmark_table import HubRows

HUB = HubRows("lmms-lab-encoder/ChartQA", "test", columns=(("split", "type"),))
TASK = ShortAnswerRows(
    HUB, "ChartQA", is_relaxed, "relaxed accuracy", level="split", task="chartqa", earlier=was_relaxed
).task("chartqa", __doc__)
