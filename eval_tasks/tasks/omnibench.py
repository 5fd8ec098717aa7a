"""OmniBench, image part: what one hears is given as text, and the image is shown.

Source: Hub lmms-lab-audio/Omni_Bench_fix (split train)
Licence: see the Hub card · Rows: all of the split
Metric: accuracy, and by type of task · Paper: arXiv 2409.15272

Columns (image, audio content, question, options, answer as the option's text, task type), prompt and parser: lmms-eval
omni_bench/utils.py (0.7.2), its task omni_bench_audio_transcript. The audio itself isn't asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from eval_tasks.readers.mmmu_answer import FORMS
from eval_tasks.readers.multiple_choice import LETTER_DIRECTLY, ChoiceRows, asked_with, choice_task, options_of
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.task import Row, Sample


def read_omni(reply: str, options: Mapping[str, str]) -> str | None:
    """The letter in the first form that a reply has one in, the last of several."""
    text = f" {reply.strip()} "
    for form in FORMS:
        if found := [letter for letter in "ABCD" if form.format(letter) in text]:
            place = "({})" if form == "({})" else " {} "
            return max(found, key=lambda letter: text.rfind(place.format(letter)))
    return None


class OmniRows(ChoiceRows):
    """The rows, whose answers are texts of options."""

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row.

        Raises:
            ValueError: a column is missing, or the answer is none of the options.
        """
        place, row = f"row {number}", self.hub.renamed(row)
        question, _ = require_cells(row, ("question", "options"), place)
        options = options_of(row, place)
        letter = next((letter for letter, text in options.items() if text == str(row.get("answer"))), row.get("answer"))
        sample = super().to_sample({**row, "answer": letter}, rules, number, has_gold)
        heard = str(row.get("audio content") or "")
        listed = "\n".join(f"{letter}. {text}" for letter, text in options.items())
        text = (
            f"Audio context for the images:\n{heard}\n\nQuestion:\n{question}\n\nOptions:\n{listed}\n{LETTER_DIRECTLY}"
        )
        return asked_with(sample, text)


HUB = HubRows("lmms-lab-audio/Omni_Bench_fix", "train", columns=(("category", "task type"),))
ROWS = OmniRows(HUB, stem="OmniBench", lmms_read=read_omni)
TASK = choice_task("omnibench", __doc__, ROWS, ("lmms-eval@0.7",))
