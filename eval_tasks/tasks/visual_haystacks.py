"""VisualHaystacks: one or a few images of many show what a yes/no question is about.

Source: Hub tsunghanwu/visual_haystacks, a file visual_haystack_N.json of N images (--data FILE), with COCO's folders
(val2017, test2017) beside it or in a folder `images` there
Licence: see the Hub card · Rows: about 1000 for each number of images
Metric: accuracy; F1, precision, recall of yes; by number of images · Paper: arXiv 2407.13766

Columns (conversations, pos_image, neg_image), prompt and order of images: vhs_benchmark main.py, solvers/base_solver.py
and utils.py (2024-10). Images are shuffled there at random, here by a seed of the row. There a reply with the gold word
counts, whatever else it says; here one with both words is unread, as in VLMEvalKit. Its words are NLTK's, to which
`.yes` is one and `B:yes` are three; here the first says yes and the second is unread.
"""

from __future__ import annotations

from random import Random

from eval_tasks.readers.yes_no_rows import YesNoRows
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.rows.table_files import to_list
from eval_tasks.task import Row

ASKED = "You are given a set of images. Please answer the following question in Yes or No: "
HUB = HubRows("tsunghanwu/visual_haystacks", "train", columns=(("image_1", "pos_image"), ("image_2", "neg_image")))


def flat(row: Row, place: str) -> Row:
    """A row with the question and the answer of its conversation; needles stand anywhere among the images.

    Raises:
        ValueError: there is no conversation.
    """
    if "question" in row:
        return row
    (said,) = require_cells(row, ("conversations",), place)
    shown = [one for name in ("image_1", "image_2") for one in to_list(row.get(name), place)]
    Random(f"{row.get('index', place)}").shuffle(shown)  # noqa: S311  (an order, no secret)
    texts = dict(zip(("question", "answer"), (one.get("value") for one in said), strict=False))
    kept = {name: cell for name, cell in row.items() if name not in ("image_1", "image_2", "conversations")}
    return {**kept, **texts, "image": shown}


ROWS = YesNoRows(HUB, "visual_haystack", "", question=lambda row, question: ASKED + question, change=flat)
TASK = ROWS.task("visual_haystacks", __doc__)
