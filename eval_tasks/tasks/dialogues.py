"""Any dialogues in the row form that one trains on: every turn asked, the model's own replies in the history.

Source: --data dialogues=FOLDER or dialogues=ORG/NAME, rows of id, images and messages (docs: the MMCR row form)
Licence: of the rows · Rows: all
Metric: the judge's dimensions and overall, x 10; offline the overlap with the references; `exact`: replies to turns
whose reference has at most three words that equal it, case and a last period aside
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from eval_tasks.readers.short_answer import is_exact
from eval_tasks.task import Sample, Scored, Total, Unit
from eval_tasks.tasks import mmcr_bench

MAX_WORDS = 3  # of a reference that a reply can equal


def samples(data: str | None, rules: str) -> Iterator[Sample]:
    """Every dialogue as a sample.

    Raises:
        ValueError: there is no place.
    """
    if data is None:
        raise ValueError("task dialogues asks rows of yours: pass --data dialogues=FOLDER or dialogues=ORG/NAME")
    yield from mmcr_bench.samples(data, rules)


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """The judge's scores, and the share of exact replies where references are short."""
    units = [unit for one in scored for unit in _exact_units(one)]
    return mmcr_bench.totals(scored, rules) | ({"exact": Total(units)} if units else {})


def _exact_units(one: Scored) -> Iterator[Unit]:
    for number, reference in enumerate(one.sample.dialogue.references):
        if len(reference.split()) > MAX_WORDS:
            continue
        is_lost = one.failure is not None or number >= len(one.replies)
        yield Unit(one.sample.group, 0.0 if is_lost else is_exact(one.replies[number], [reference]), is_lost=is_lost)


TASK = replace(mmcr_bench.TASK, name="dialogues", source=(__doc__ or "").strip(), samples=samples, totals=totals)
