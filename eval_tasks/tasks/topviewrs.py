"""TopViewRS: recognising and reasoning in top-view maps of rooms, as multiple-choice questions.

Source: VLMEvalKit's TopViewRS.tsv (md5 5669bc122457979dd2ac3b69b5dc1622), or the files of Hub chengzu/topviewrs
Licence: MIT · Rows: all of the table
Metric: accuracy, by category; `partial match`: words shared with the right option · Paper: arXiv 2406.02537

Partial match is |both| / max(|chosen|, |right|) of the options' sets of words, as in VLMEvalKit's class TopViewRS
(image_mcq.py, August 2026): an option names several places, and may be right in part. There the letter for it is the
last word of the reply, or what stands in its square brackets, so that `B.` has a share and `(B) the red car` has none;
here it is the letter that accuracy reads.
"""

from __future__ import annotations

from collections.abc import Sequence

from eval_tasks.readers.multiple_choice import VLMEVALKIT, ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.task import Points, Sample, Scored, Total
from eval_tasks.totals import mean_total


class TopViewRows(ChoiceRows):
    """The rows, scored in part too."""

    def score(self, sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
        """Whether the letter is right, and how much of the option. Args: see `Task.score`."""
        said, options = self.read(sample, replies, rules, verdict), sample.target["options"]
        exact = super().score(sample, replies, rules, verdict)["accuracy"]
        if exact is None:
            return {"accuracy": None, "partial match": None}
        chosen, right = (
            set(str(options.get(letter, "")).lower().split()) for letter in (said, sample.target["answer"])
        )
        shared = len(chosen & right) / max(len(chosen), len(right)) if chosen and right else 0.0
        return {"accuracy": exact, "partial match": shared}

    def totals(self, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
        """Accuracy, partial match, and accuracy by category."""
        found = super().totals(scored, rules)
        return {"accuracy": found.pop("accuracy"), "partial match": mean_total(scored, "partial match"), **found}


ROWS = TopViewRows(HubRows("chengzu/topviewrs", "test"), stem="TopViewRS")
TASK = choice_task("topviewrs", __doc__, ROWS, VLMEVALKIT)
