"""R1-Onevision-Bench: school and university questions of mathematics, physics, chemistry, biology and deduction.

Source: Hub Fancy-MLLM/R1-Onevision-Bench (r1-onevision.tsv, split train)
Licence: Apache-2.0 · Rows: 942
Metric: accuracy, and by category · Paper: arXiv 2503.10615

Columns (image in base64, question with its hint and choices, answer, level, category) from the Hub's card and public
loaders. The paper's scorer isn't public: rules decide a plain answer or letter, and --judge the rest; without a judge
an answer that rules can't decide is wrong.
"""

from eval_tasks.readers.judged_rows import JudgedRows, plain_points
from eval_tasks.rows.benchmark_table import HubRows

HUB = HubRows("Fancy-MLLM/R1-Onevision-Bench", "train")
ROWS = JudgedRows(HUB, "r1-onevision", plain_points, "accuracy", "", rules=("mmcr@2026-11",))
TASK = ROWS.task("r1_onevision_bench", __doc__)
