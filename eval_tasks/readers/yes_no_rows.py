"""Benchmarks of yes/no questions: samples, points, and F1 beside accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eval_tasks.readers.table_rows import TableRows, right_or_wrong
from eval_tasks.readers.yes_no import read_yes_no, yes_no_to_judge
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.task import Points, Row, Sample, Scored, Task, Total, Unit
from eval_tasks.totals import mean_total, totals_by

RULES = ("vlmevalkit@2026-06",)
GOLDS = {"yes": "yes", "no": "no", "true": "yes", "false": "no", "1": "yes", "0": "no"}


class YesNoRows(TableRows):
    """Samples, points and totals of a benchmark of yes/no questions.

    Args:
        hub: its data set on the Hub.
        stem: its name in file names.
        closing: what is asked after the question.
        first: name of the metric that stands first.
        reader: (reply, rules) -> yes, no or None; default by the words, as VLMEvalKit.
        more: see `TableRows`.
    """

    id_columns = ("index", "id", "idx")

    def __init__(
        self,
        hub: HubRows,
        stem: str,
        closing: str = " Please answer yes or no.",
        first: str = "accuracy",
        reader: Callable[[str, str], str | None] = lambda reply, rules: read_yes_no(reply, RULES[0]),
        **more: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(hub, stem, closing, **{"rules": RULES, **more})
        self.first, self.reader = first, reader

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row.

        Raises:
            ValueError: a column is missing, or the gold is neither yes nor no.
        """
        place, row = f"row {number}", self.in_our_form(row, number)
        question, answer = require_cells(row, ("question", "answer") if has_gold else ("question", "question"), place)
        gold = GOLDS.get(str(answer).strip().removesuffix(".0").rstrip(".").lower()) if has_gold else ""
        if gold is None:
            raise ValueError(f"{place}: the answer is {answer!r}, expected yes or no")
        return self.make(row, rules, number, str(question).rstrip(), {"answer": gold}, gold.capitalize(), has_gold)

    def score(self, sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
        """1 for the right answer, None if there is none to read. Args: see `Task.score`."""
        return right_or_wrong(sample, self.read(sample, replies, rules, verdict))

    def read(self, sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str | None:
        """`yes` or `no` in a reply, else in the judge's verdict. Args: see `Task.score`."""
        return self.reader(replies[0], rules) or read_yes_no(str(verdict or ""), RULES[0])

    def totals(self, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
        """Accuracy, F1, precision and recall of yes, the share of yes, and accuracy by category."""
        found = {"accuracy": mean_total(scored, "accuracy"), **yes_totals(scored)}
        by_level = totals_by([one for one in scored if one.sample.target[self.level]], self.level)
        return {self.first: found.pop(self.first), **found, **by_level}

    def task(self, name: str, source: str | None, **more: Any) -> Task:  # noqa: ANN401
        """The task of the benchmark. Args: see `TableRows.task`."""
        judged = {"judge": "chat", "to_judge": yes_no_to_judge, "read": self.read}
        return super().task(name, source, **judged, **more)


def yes_totals(scored: Sequence[Scored]) -> dict[str, Total]:
    """F1, precision and recall of yes, and the share of yes.

    An unread reply is no yes, as in VLMEvalKit's POPE_rating; a lost one (no reply, no judgement) says the opposite of
    the gold, so that no failure raises a number.
    """
    units: dict[str, list[Unit]] = {name: [] for name in ("F1", "precision", "recall", "share of yes")}
    for one in scored:
        is_yes = one.sample.target["answer"] == "yes"
        says_yes = (not is_yes) if one.is_lost else one.reading == "yes"
        hit, size = (
            float(is_yes and says_yes),
            (0.0 if not (is_yes or says_yes) else 1.0 if is_yes == says_yes else 0.5),
        )
        sizes = {"F1": size, "precision": float(says_yes), "recall": float(is_yes)}
        for name, share in sizes.items():
            units[name].append(Unit(one.sample.group, hit, is_lost=one.is_lost, size=share))
        units["share of yes"].append(Unit(one.sample.group, float(says_yes and not one.is_lost), is_lost=one.is_lost))
    return {name: Total(members) for name, members in units.items()}
