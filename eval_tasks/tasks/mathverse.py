"""MathVerse testmini: 788 problems in five versions each, from text-dominant to vision-only.

Source: Hub CaraJ/MathVerse-lmmseval (configuration and split testmini), or VLMEvalKit's MathVerse_MINI.tsv
Licence: see the Hub card · Rows: 3940
Metric: accuracy, and by version of the problem; versions of a problem are one cluster · Paper: arXiv 2403.14624

Columns and what is asked (query_wo on the Hub, question in the table): lmms-eval mathverse/ (0.7.2), VLMEvalKit
image_vqa.py (August 2026). Both let a chat model extract every answer and mark it; here rules decide a plain answer or
letter, and --judge the rest. Without a judge an answer that rules can't decide is wrong.
"""

from eval_tasks.readers.judged_rows import JudgedRows, plain_points
from eval_tasks.rows.benchmark_table import HubRows

COLUMNS = (("question", "query_wo"), ("index", "sample_index"), ("category", "problem_version"))
ROWS = JudgedRows(
    HubRows("CaraJ/MathVerse-lmmseval", "testmini", "testmini", columns=COLUMNS),
    "MathVerse_MINI",
    plain_points,
    "accuracy",
    "",
    question=lambda row, question: str(row.get("query_wo", question)),
    group="problem_index",
)
TASK = ROWS.task("mathverse", __doc__)
