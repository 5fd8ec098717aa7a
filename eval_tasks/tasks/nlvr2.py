"""NLVR2: is a sentence true of a pair of images?

Source: Hub lmms-lab/NLVR2 (split balanced_test_public), or rows of that form
Licence: CC BY 4.0 (sentences) · Rows: all of the split
Metric: accuracy, and F1 of true · Paper: arXiv 1811.00491

Columns (sentence, label of true or false, left_image, right_image) from public loaders of the Hub's data; rows with
question, answer and image_1, image_2 are read too. Prompt and reading are ours: yes or no is asked for and read as in
VLMEvalKit. One cluster for each pair of images, where the row has its identifier.
"""

from __future__ import annotations

from eval_tasks.readers.yes_no_rows import YesNoRows
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.task import Row, Sample

COLUMNS: tuple[tuple[str, str], ...] = (
    ("question", "sentence"),
    ("answer", "label"),
    ("image_1", "left_image"),
    ("image_2", "right_image"),
)
COLUMNS += (("index", "identifier"), ("index", "question_id"))


class PairRows(YesNoRows):
    """The rows; sentences about one pair of images are a cluster."""

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row.

        Raises:
            ValueError: a column or one of the two images is missing, or the label is neither true nor false.
        """
        row = self.hub.renamed(row)
        (sentence,) = require_cells(row, ("question",), f"row {number}")
        pair = str(row.get("index", number)).rpartition("-")[0] or str(number)  # test1-0-1-0: set, pair, sentence
        said = f"The first image is the left one. Is this true of the two images? {str(sentence).strip()}"
        sample = super().to_sample({**row, "question": said, "pair": pair}, rules, number, has_gold)
        if len(sample.dialogue.images) not in (0, 2):  # none in files of predictions
            raise ValueError(f"row {number}: {len(sample.dialogue.images)} images, expected left_image and right_image")
        return sample


HUB = HubRows("lmms-lab/NLVR2", "balanced_test_public", columns=COLUMNS)
ROWS = PairRows(HUB, "NLVR2", group="pair")
TASK = ROWS.task("nlvr2", __doc__)
