"""MemLens: questions about long conversations with images, at context lengths of 32K to 256K tokens; refusals counted.

Source: Hub xiyuRenBill/MEMLENS, vlmevalkit/MemLens_{32K,64K,128K,256K}.tsv, and its images (--data FILE)
Licence: see the Hub card · Rows: 789 at each length
Metric: accuracy by a judge, and by type of question · Paper: arXiv 2605.14906

Columns (question with all sessions and `<image>` at each image's place, answer, question_type, image_path) and the form
of the prompt: VLMEvalKit memlens.py (August 2026). The table holds the sessions as one text, so they are one turn here
as there; prompt of the judge ours. A reply that equals the answer is right without a judge.
"""

from eval_tasks.readers.judged_rows import JudgedRows, last_boxed
from eval_tasks.readers.short_answer import is_exact
from eval_tasks.rows.benchmark_table import HubRows

HUB = HubRows("xiyuRenBill/MEMLENS", "test", columns=(("category", "question_type"), ("index", "question_id")))
ROWS = JudgedRows(
    HUB,
    "MemLens",
    lambda reply, golds: is_exact(last_boxed(reply), golds) or None,
    "accuracy",
    "",
    question=lambda row, question: question.replace("<image token>", "<image>"),
    rules=("mmcr@2026-11",),
)
TASK = ROWS.task("memlens", __doc__, is_read_by_rules=False)
