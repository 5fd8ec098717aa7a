"""MuirBench: twelve tasks about several images; each question has a twin that can't be answered.

Source: Hub MUIRBENCH/MUIRBENCH (split test), or VLMEvalKit's MUIRBench.tsv (without twins)
Licence: CC BY 4.0 · Rows: 2600
Metric: accuracy, by task; `pairs`: both twins right (ours; needs the column counterpart_idx) · Paper: arXiv 2406.09411

Images stand at their places in question and options, and the letter is asked for, as in VLMEvalKit's MUIRDataset
(August 2026); lmms-eval puts all images first. The rules `official` ask and read as the repository's preprocess.py and
postprocess.py (September 2024), which guesses a letter at random where it reads none; here nothing read is wrong.
Columns: lmms-eval muirbench/utils.py; counterpart_idx from public loaders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from eval_tasks.readers.mmmu_answer import OWN_FORMS, read_choice
from eval_tasks.readers.multiple_choice import ChoiceRows, asked_with, choice_task
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import place_images
from eval_tasks.task import Row, Sample, Scored, Total
from eval_tasks.totals import grouped, whole_unit

COLUMNS = (("category", "task"), ("index", "idx"), ("image", "image_list"))
HUB = HubRows("MUIRBENCH/MUIRBENCH", "test", columns=COLUMNS)
OFFICIAL = "official"
HINT = "Hint: Please provide the correct option letter, such as A, B, C, D, directly."


class TwinRows(ChoiceRows):
    """The rows; twins are one group."""

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row. Raises: see `ChoiceRows.to_sample`."""
        sample = super().to_sample(row, rules, number, has_gold)
        if rules == OFFICIAL:
            listed = [f"({letter}) {text}" for letter, text in sample.target["options"].items()]
            text = "\n".join([f"Question: {row.get('question', '')}", "Choices:", *listed, HINT, "Answer:"])
            images = sample.dialogue.images
            sample = asked_with(sample, place_images(text, len(images)) if images else text)
        twin = str(row.get("counterpart_idx", "")).strip().removesuffix(".0")
        return replace(sample, group=" ".join(sorted((sample.dialogue.id, twin)))) if twin else sample

    def totals(self, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
        """Accuracy, pairs of twins, and accuracy by task."""
        groups = grouped(scored, lambda one: one.sample.group).values()
        pairs = [whole_unit(members, "accuracy") for members in groups if len(members) == 2]
        found = super().totals(scored, rules)
        return {"accuracy": found.pop("accuracy")} | ({"pairs": Total(pairs)} if pairs else {}) | found


READ = partial(read_choice, forms=OWN_FORMS)
ROWS = TwinRows(HUB, stem="MUIRBench", interleaved=True, lmms_read=READ, own_rules=OFFICIAL)
TASK = choice_task("muirbench", __doc__, ROWS, ("vlmevalkit@2026-08", OFFICIAL))
