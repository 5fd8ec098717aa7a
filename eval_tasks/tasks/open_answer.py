"""Any table of questions with short answers; in results it is `open_answer:` and the stem of its file.

Source: --data open_answer=FILE, open_answer=FOLDER or open_answer=ORG/NAME?split=test&answer=COLUMN (several times)
Licence: of the table · Rows: all of the table
Metric: share of replies that equal a gold answer, case and a last period aside (our scorer); by category

Columns as VLMEvalKit names them: index, question, answer (a text or a list of texts), image (base64, bytes, a file, or
a list of them) or image_1, image_2, ..., category.
"""

from eval_tasks.readers.short_answer import ShortAnswerRows, is_exact
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.own_table import read_own_table

ROWS = ShortAnswerRows(
    HubRows("", "test"), "", is_exact, "accuracy", load=lambda data: read_own_table(data, ("question",))
)
TASK = ROWS.task("open_answer", __doc__)
