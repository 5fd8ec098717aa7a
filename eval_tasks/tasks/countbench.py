"""CountBenchQA: how many objects are in the photograph?

Source: Hub vikhyatk/CountBenchQA (split test); columns, prompt and scorer: lmms-eval countbench/utils.py (0.7.2)
Licence: see the Hub card · Rows: all of the split
Metric: accuracy; a number word up to twenty is its number · Paper: arXiv 2302.12066 (CountBench)
"""

from collections.abc import Sequence

from eval_tasks.readers.short_answer import ShortAnswerRows
from eval_tasks.rows.benchmark_table import HubRows

WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(WORDS)}
ASKED = "Look at the image carefully and count the objects. Answer with just a number, without any additional text. "


def points(reply: str, golds: Sequence[str]) -> float:
    """1 if the whole reply is the number."""
    said, gold = (text.strip().lower() for text in (reply, golds[0]))
    return float(NUMBERS.get(said, said) == NUMBERS.get(gold, gold))


HUB = HubRows("vikhyatk/CountBenchQA", "test", columns=(("answer", "number"),))
ROWS = ShortAnswerRows(
    HUB, "CountBench", points, "accuracy", "", question=lambda row, text: ASKED + text.strip(), rules=("lmms-eval@0.7",)
)
TASK = ROWS.task("countbench", __doc__)
