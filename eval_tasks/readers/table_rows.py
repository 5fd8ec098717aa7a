"""What benchmarks of one question a row share: the rows, the id of a sample, what is asked, the task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from eval_tasks.readers.adapters import ADAPTER_RULES, ask_open, to_dialogue
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import cells_to_hand_in, images_of, load_rows, place_images, with_gold
from eval_tasks.task import Points, Row, Sample, Scored, Task, Total


class TableRows(ABC):
    """Samples and task of a benchmark; subclasses read the gold and score.

    Args:
        hub: its data set on the Hub.
        stem: its name in file names.
        closing: what is asked after the question.
        level: column with a total for each value, empty for none.
        group: column whose value clusters samples; default every sample alone.
        question: (row, its question) -> what is asked; default the question.
        rules: names of the scoring rules.
        load: reads the rows, if they aren't the benchmark's own table.
        task: name of the benchmark, if it is asked by the adapters of models too.
        change: (row, its place) -> the row in our form; it leaves a row of that form as it is.
    """

    id_columns: tuple[str, ...] = ("index", "id")

    def __init__(
        self,
        hub: HubRows,
        stem: str,
        closing: str = "",
        level: str = "category",
        group: str = "",
        question: Callable[[Row, str], str] = lambda row, question: question,
        rules: tuple[str, ...] = (),
        load: Callable[[str | None], Iterable[Row]] | None = None,
        task: str = "",
        change: Callable[[Row, str], Row] = lambda row, place: row,
    ) -> None:
        self.hub = hub
        self.stem = stem
        self.closing = closing
        self.level = level
        self.group = group
        self.question = question
        self.rules = rules
        self.load = load or (lambda data: load_rows(data, hub, stem))
        self.asked_as = task
        self.change = change

    def in_our_form(self, row: Row, number: int) -> Row:
        """The row under our names and in our form."""
        return self.change(self.hub.renamed(row), f"row {number}")

    def samples(self, data: str | None, rules: str) -> Iterator[Sample]:
        """Every row as a sample; a split without answers is answered and not scored."""
        rows = (self.in_our_form(row, number) for number, row in enumerate(self.load(data)))
        for number, row, has_gold in with_gold(rows, self.stem or "table"):
            yield self.to_sample(row, rules, number, has_gold)

    @abstractmethod
    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row. Raises: ValueError, a column is missing or its gold is malformed."""

    def asked(self, row: Row, question: str, rules: str, num_images: int) -> str:
        """The prompt of a question by the rules."""
        if rules in ADAPTER_RULES:
            return ask_open(question, self.asked_as, rules)
        return place_images(self.question(row, question) + self.closing, num_images)

    def make(
        self, row: Row, rules: str, number: int, question: object, target: Mapping[str, Any], reference: str, gold: bool
    ) -> Sample:
        """The sample of a row whose gold was read."""
        name = str(next((row[column] for column in self.id_columns if column in row), number))
        images = images_of(row, f"row {number}")
        text = self.asked(row, str(question), rules, len(images))
        found = {**target} | ({self.level: row.get(self.level)} if self.level else {})
        found |= {} if gold else {"row": cells_to_hand_in(row)}
        dialogue = to_dialogue(name, images, text, reference, self.asked_as, rules)
        return Sample(dialogue, found, str(row.get(self.group, name)), has_gold=gold)

    @abstractmethod
    def score(self, sample: Sample, replies: Sequence[str], rules: str, verdict: Any) -> Points:  # noqa: ANN401
        """The points of a reply. Args: see `Task.score`."""

    @abstractmethod
    def totals(self, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
        """The totals. Args: see `Task.totals`."""

    def task(self, name: str, source: str | None, **more: Any) -> Task:  # noqa: ANN401
        """The task of the benchmark.

        Args:
            name: name of the task.
            source: docstring of its module.
            more: further fields of the task.
        """
        return Task(
            name,
            (source or "").strip(),
            self.samples,
            self.score,
            self.totals,
            rules=self.rules,
            adapter_rules=ADAPTER_RULES if self.asked_as else (),
            to_sample=self.to_sample,
            **more,
        )


def right_or_wrong(sample: Sample, said: str | None) -> Points:
    """1 for the gold answer, None if nothing was read."""
    return {"accuracy": None if said is None else float(said == sample.target["answer"])}
