"""Any table of yes/no questions; in results it is `yes_no:` and the stem of its file.

Source: --data yes_no=FILE, yes_no=FOLDER or yes_no=ORG/NAME?split=test&question=COLUMN (several times for several)
Licence: of the table · Rows: all of the table
Metric: accuracy; F1, precision, recall of yes; the share of yes; accuracy by category

Columns as VLMEvalKit names them: index, question, answer (Yes or No, true or false, 1 or 0), image (base64, bytes, a
file, or a list of them) or image_1, image_2, ..., category. Replies are read by the words yes and no, as VLMEvalKit
does: "Yes." is yes; a reply with both or neither is unread. A question ends with "Please answer yes or no."
"""

from eval_tasks.readers.yes_no_rows import YesNoRows
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.own_table import read_own_table

ROWS = YesNoRows(HubRows("", "test"), "", load=lambda data: read_own_table(data, ("question", "answer")))
TASK = ROWS.task("yes_no", __doc__)
