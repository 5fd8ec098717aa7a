"""Benchmarks of yes/no questions: samples, points, and F1 beside accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from eval_tasks.readers.adapters import ADAPTER_RULES, ask_open, to_dialogue
from eval_tasks.readers.yes_no import read_yes_no, yes_no_to_judge
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import images_of, load_rows, place_images, require_cells
from eval_tasks.task import Points, Row, Sample, Scored, Task, Total, Unit
from eval_tasks.totals import mean_total, totals_by

RULES = ("vlmevalkit@2026-06",)
GOLDS = {"yes": "yes", "no": "no", "true": "yes", "false": "no", "1": "yes", "0": "no"}


class YesNoRows:
    """Samples, points and totals of a benchmark of yes/no questions.

    Args:
        hub: its data set on the Hub.
        stem: its name in file names.
        closing: what is asked after the question.
        level: column with a total for each value.
        group: column whose value clusters samples; default every sample alone.
        load: reads the rows, if they aren't the benchmark's own table.
        first: name of the metric that stands first.
        reader: yes, no or None in a reply; default by the words, as VLMEvalKit.
        rules: name of the scoring rules.
        task: name of the benchmark, if it is asked by the adapters of models too.
    """

    def __init__(
        self,
        hub: HubRows,
        stem: str,
        closing: str = " Please answer yes or no.",
        level: str = "category",
        group: str = "",
        load: Callable[[str | None], Iterable[Row]] | None = None,
        first: str = "accuracy",
        reader: Callable[[str], str | None] = lambda reply: read_yes_no(reply, RULES[0]),
        rules: str = RULES[0],
        task: str = "",
    ) -> None:
        self.asked_as = task
        self.reader = reader
        self.rules = rules
        self.hub = hub
        self.closing = closing
        self.level = level
        self.group = group
        self.load = load or (lambda data: load_rows(data, hub, stem))
        self.first = first

    def samples(self, data: str | None, rules: str) -> Iterator[Sample]:
        """Every row as a sample."""
        for number, row in enumerate(self.load(data)):
            yield self.to_sample(row, rules, number)

    def to_sample(self, row: Row, rules: str, number: int) -> Sample:
        """The sample of a row.

        Raises:
            ValueError: a column is missing, or the gold is neither yes nor no.
        """
        place, row = f"row {number}", self.hub.renamed(row)
        question, answer = require_cells(row, ("question", "answer"), place)
        gold = GOLDS.get(str(answer).strip().rstrip(".").lower())
        if gold is None:
            raise ValueError(f"{place}: the answer is {answer!r}, expected yes or no")
        sample_id = str(row.get("index", row.get("id", row.get("idx", number))))
        images = images_of(row, place)
        if rules in ADAPTER_RULES:
            text = ask_open(str(question), self.asked_as, rules)
        else:
            text = place_images(str(question).rstrip() + self.closing, len(images))
        target = {"answer": gold, self.level: row.get(self.level)}
        group = str(row.get(self.group, sample_id))
        dialogue = to_dialogue(sample_id, images, text, gold.capitalize(), self.asked_as, rules)
        return Sample(dialogue, target, group)

    def score(self, sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
        """1 for the right answer, None if there is none to read. Args: see `Task.score`."""
        said = self.read(sample, replies, rules, verdict)
        return {"accuracy": None if said is None else float(said == sample.target["answer"])}

    def read(self, sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str | None:
        """`yes` or `no` in a reply, else in the judge's verdict. Args: see `Task.score`."""
        return self.reader(replies[0]) or read_yes_no(str(verdict or ""), RULES[0])

    def totals(self, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
        """Accuracy, F1, precision and recall of yes, the share of yes, and accuracy by category."""
        found = {"accuracy": mean_total(scored, "accuracy"), **yes_totals(scored)}
        by_level = totals_by([one for one in scored if one.sample.target[self.level]], self.level)
        return {self.first: found.pop(self.first), **found, **by_level}

    def task(self, name: str, source: str | None) -> Task:
        """The task of the benchmark.

        Args:
            name: name of the task.
            source: docstring of its module.
        """
        return Task(
            name,
            (source or "").strip(),
            self.samples,
            self.score,
            self.totals,
            judge="chat",
            to_judge=yes_no_to_judge,
            read=self.read,
            rules=(self.rules,),
            adapter_rules=ADAPTER_RULES if self.asked_as else (),
            to_sample=self.to_sample,
        )


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
