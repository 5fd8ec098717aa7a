"""Any table of multiple-choice questions; in results it is `choice:` and the stem of its file.

Source: --data choice=FILE, choice=FOLDER or choice=ORG/NAME?split=test&question=COLUMN (several times for several)
Licence: of the table · Rows: all of the table
Metric: accuracy, and accuracy by category

Columns as VLMEvalKit names them: index, question, answer (a letter, or the number of an option from 0), A, B, ... or
options (a list), image (base64, bytes, a file, or a list of them) or image_1, image_2, ..., hint, category,
l2_category. Images stand where `<image>` does in question and options. Rotations of circular tables count one by one.
"""

from eval_tasks.readers.multiple_choice import VLMEVALKIT, ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.own_table import read_own_table

ROWS = ChoiceRows(
    HubRows("", "test"),
    load=lambda data: read_own_table(data, ("question",)),
    interleaved=True,
)
TASK = choice_task("choice", __doc__, ROWS, VLMEVALKIT)
