"""Benchmarks of short open answers: exact, relaxed (ChartQA), ANLS (DocVQA), VQA accuracy (TextVQA).

Source: VLMEvalKit utils/vqa_eval.py and lmms-eval's task files, in their states of August 2026
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eval_tasks.readers.adapters import ADAPTER_RULES
from eval_tasks.readers.table_rows import TableRows
from eval_tasks.readers.yes_no import ONE_WORD, vqa_punctuation
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.rows.table_files import to_texts
from eval_tasks.task import Points, Row, Sample, Scored, Total
from eval_tasks.totals import mean_total, totals_by

RULES = ("vlmevalkit@2026-08",)
Scorer = Callable[[str, Sequence[str]], float | None]  # None: nothing to read


def is_exact(reply: str, golds: Sequence[str]) -> float:
    """1 if the reply is a gold answer, case and a last period aside (ours; VLMEvalKit keeps the period)."""
    said = reply.strip().rstrip(".").lower()
    return float(any(said == gold.strip().rstrip(".").lower() for gold in golds))


def is_relaxed(reply: str, golds: Sequence[str]) -> float:
    """1 if a number is within 5 % of the gold, or another answer equals it, case aside.

    A trailing % divides by 100, as both harnesses do: `5%` is right for `0.05`, wrong for `5`.
    """
    said = reply.strip()
    return float(any(_is_near(said, gold) for gold in golds))


def was_relaxed(reply: str, golds: Sequence[str]) -> float:
    """As `is_relaxed`, but within 5 % of the reply: VLMEvalKit until 2026 took one for the other."""
    said = reply.strip()
    return float(any(_is_near(gold, said) for gold in golds))


def _is_near(said: str, gold: str) -> bool:
    value, wanted = _to_number(said), _to_number(gold)
    if value is not None and wanted:
        return abs(value - wanted) / abs(wanted) <= 0.05
    return said.lower() == gold.lower()


def _to_number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def anls(reply: str, golds: Sequence[str]) -> float:
    """1 minus the edit distance to the nearest gold as a share of the longer text; below a half 0. Case aside."""
    best = max(1 - _distance_share(reply, gold) for gold in golds)
    return best if best >= 0.5 else 0.0


def _distance_share(reply: str, gold: str) -> float:
    said, wanted = (" ".join(text.lower().split()) for text in (reply, gold))
    longest = max(len(reply.upper()), len(gold.upper()))  # of the texts as they are, as in both harnesses
    return _edit_distance(said, wanted) / longest if longest else 0.0


def _edit_distance(a: str, b: str) -> int:
    before = list(range(len(b) + 1))
    for row, one in enumerate(a, start=1):
        now = [row]
        for column, other in enumerate(b):
            now.append(min(before[column] + (one != other), before[column + 1] + 1, now[-1] + 1))
        before = now
    return before[-1]


_DIGITS = {
    word: str(number) for number, word in enumerate("zero one two three four five six seven eight nine ten".split())
}
_DIGITS["none"] = "0"
_SHORT_FORMS = (
    "ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's i'm "
    "isn't it'd it'll ma'am might've mightn't must've mustn't needn't o'clock oughtn't shan't should've shouldn't "
    "that's there'd there're there's they'd they'll they're they've wasn't we've weren't what'll what're what's "
    "what've when's where'd where's where've who'd who'll who's who've why'll why're why's won't would've wouldn't "
    "you'd you'll you're you've"
).split()
_APOSTROPHES = {word.replace("'", ""): word for word in _SHORT_FORMS if word != "i'm"}


def vqa_words(text: str) -> str:
    """A text as the VQA evaluation compares it: no punctuation or articles, digits for words, apostrophes set."""
    return vqa_shape(vqa_punctuation(text.replace("\n", " ").replace("\t", " ").strip(), today=True))


def vqa_shape(text: str, numbers: Mapping[str, str] | None = None) -> str:
    """The words of a text without articles, digits for words up to ten and for those of `numbers`, apostrophes set."""
    digits = {**_DIGITS, **numbers} if numbers else _DIGITS
    words = [digits.get(word, word) for word in text.lower().split()]
    return " ".join(_APOSTROPHES.get(word, word) for word in words if word not in ("a", "an", "the"))


def vqa_accuracy(reply: str, golds: Sequence[str]) -> float:
    """Mean over the annotators of min(1, others who agree / 3)."""
    said, wanted = vqa_words(reply), [vqa_words(gold) for gold in golds]
    others = [sum(said == other for place, other in enumerate(wanted) if place != left) for left in range(len(wanted))]
    return sum(min(1.0, num / 3) for num in others) / len(wanted)


class ShortAnswerRows(TableRows):
    """Samples, points and totals of a benchmark of short answers.

    Args:
        hub: its data set on the Hub.
        stem: its name in file names.
        scorer: points of a reply beside the gold answers.
        metric: name of the points.
        closing: what is asked after the question.
        earlier: points of a reply under their rules, if others.
        more: see `TableRows`.
    """

    id_columns = ("index", "questionId", "question_id", "id")

    def __init__(
        self,
        hub: HubRows,
        stem: str,
        scorer: Scorer,
        metric: str,
        closing: str = ONE_WORD,
        earlier: Scorer | None = None,
        **more: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(hub, stem, closing, **{"rules": RULES, **more})
        self.scorer, self.metric, self.earlier = scorer, metric, earlier or scorer

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row; `answer` is one text or a list of them.

        Raises:
            ValueError: a column is missing.
        """
        place, row = f"row {number}", self.in_our_form(row, number)
        (question,) = require_cells(row, ("question",), place)
        golds = to_texts(require_cells(row, ("answer",), place)[0], place) if has_gold else []
        if has_gold and not golds:
            raise ValueError(f"{place}: the answer is an empty list, expected one or more")
        return self.make(row, rules, number, question, {"answers": golds}, golds[0] if golds else "", has_gold)

    def score(self, sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
        """The scorer's points. Args: see `Task.score`."""
        scorer = self.earlier if rules in ADAPTER_RULES else self.scorer
        return {self.metric: scorer(replies[0], sample.target["answers"])}

    def totals(self, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
        """The mean, and the mean by category."""
        found = {self.metric: mean_total(scored, self.metric)}
        return found | totals_by([one for one in scored if one.sample.target[self.level]], self.level, self.metric)
