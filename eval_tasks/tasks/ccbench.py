"""CCBench: Chinese multiple-choice questions about Chinese culture, each asked for every rotation of its options.

Source: VLMEvalKit's CCBench.tsv
Licence: Apache-2.0 · Rows: 2040 in 510 groups
Metric: accuracy of whole groups · Paper: arXiv 2307.06281
"""

from eval_tasks.readers.multiple_choice import ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows

TASK = choice_task(
    "ccbench", __doc__, ChoiceRows(HubRows("lmms-lab-encoder/MMBench", "test", config="cc"), True, stem="CCBench")
)
