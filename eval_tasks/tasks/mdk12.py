"""MDK12-Bench: school questions of six disciplines: choices, true or false, gaps, calculations; with or without image.

Source: the tables in MDK12mini-easy.zip, -medium.zip and -hard.zip of github.com/LanceZPF/MDK12 (--data FILE)
Licence: see the repository · Rows: all of the table
Metric: accuracy, and by difficulty · Paper: arXiv 2504.05782

Columns (index, question with its choices, image in base64 or none, answer, difficulty_level, year, category): the
repository's quick-inference-qwenvl.py and count_all_acc_per_disc.py. There GPT-4o marks gaps, calculations and several
letters; here rules decide a plain answer or letter, and --judge, with our prompt, the rest.
"""

from eval_tasks.readers.judged_rows import JudgedRows, plain_points
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import load_rows

HUB = HubRows("LanceZPF/MDK12", "test")
ROWS = JudgedRows(
    HUB,
    "",
    plain_points,
    "accuracy",
    "",
    level="difficulty_level",
    rules=("mmcr@2026-11",),
    load=lambda data: load_rows(data or "MDK12", HUB, None),
)
TASK = ROWS.task("mdk12", __doc__)
