"""ReasonMap: plan a journey on a metro map; each section of the route is named.

Source: Hub FSCCS/ReasonMap (split validation)
Licence: see the Hub card · Rows: all of the split
Metric: accuracy of the short questions, and by difficulty of the city · Paper: arXiv 2505.18675

Columns (figure, json: line -> stations, question_short, station_1, station_2, difficulty_city) and the check of a
route: fscdc/ReasonMap main.py (accuracy). Long questions and the map score, which compares with plans of map services,
aren't computed; nor are the paper's weights, which its code leaves out. Stops needn't be in the order of travel, as
there. The maps are very large: cap their pixels in the model's settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from eval_tasks.readers.table_rows import TableRows
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.rows.table_files import json_value
from eval_tasks.task import Points, Row, Sample, Scored, Total
from eval_tasks.totals import mean_total, totals_by

HUB = HubRows("FSCCS/ReasonMap", "validation", columns=(("image", "figure"), ("question", "question_short")))
LABELS = ("Route Name:", "Departure Stop:", "Arrival Stop:")
_SAME_LINE = {"八通": "Line 1", "大兴": "Line 4"}
_BRACKETS, _SPACES = re.compile(r"[(（][^)）]*(?:[)）]|(\Z))"), re.compile(r"[\s-]+")  # \1: never closed


def clean(stop: str) -> str:
    """A stop as stops are compared: without brackets, spaces, commas and the word Metro, in lower case."""
    for word in ("Metro", "metro", ",", "*", "\n"):
        stop = stop.replace(word, "")
    return _SPACES.sub("", _BRACKETS.sub(lambda found: "" if found[1] is None else found[0], stop)).lower()


def read_route(reply: str) -> list[tuple[str, str, str]]:
    """(line, departure, arrival) of each section of a reply that has all three labels."""
    route = []
    for section in reply.split("--"):
        if all(label in section for label in LABELS):
            line, start = (_line_after(f"{label} ", section) for label in LABELS[:2])
            name = next((other for part, other in _SAME_LINE.items() if part in line), line.strip())
            route.append((name, clean(start), clean(section.split(LABELS[2])[-1])))
    return route


def _line_after(label: str, section: str) -> str:
    rest = section.partition(label)[2]
    return rest.partition("\n")[0] if "\n" in rest else "Wrong"


def is_right(
    route: Sequence[tuple[str, str, str]], stations: Sequence[str], lines: Mapping[str, Sequence[str]]
) -> bool:
    """Whether a route leads from the first station to the second, on lines that have its stops, change by change."""
    if not route or [route[0][1], route[-1][2]] != [clean(one) for one in stations]:
        return False
    stops = {name: {clean(stop) for stop in of} for name, of in lines.items()}
    changes = all(before[2] == after[1] for before, after in pairwise(route))
    return changes and all({start, end} <= stops.get(name, set()) for name, start, end in route)


class RouteRows(TableRows):
    """The rows; the target holds the map's lines."""

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row. Raises: ValueError, a column is missing."""
        place, row = f"row {number}", self.hub.renamed(row)
        question, lines, *ends = require_cells(row, ("question", "json", "station_1", "station_2"), place)
        found = json_value(lines, f"{place} json") if isinstance(lines, str) else lines
        target = {"stations": ends, "lines": {name: stops for name, stops in found.items() if stops}}
        return self.make(row, rules, number, question, target, " to ".join(map(str, ends)), True)

    def score(self, sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
        """1 for a right route, None if no section can be read. Args: see `Task.score`."""
        route = read_route(replies[0])
        right = is_right(route, sample.target["stations"], sample.target["lines"])
        return {"accuracy": float(right) if route else None}

    def totals(self, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
        """Accuracy, and accuracy by difficulty."""
        known = [one for one in scored if one.sample.target[self.level]]
        return {"accuracy": mean_total(scored, "accuracy"), **totals_by(known, self.level)}


ROWS = RouteRows(HUB, "ReasonMap", level="difficulty_city", rules=("official",))
TASK = ROWS.task("reasonmap", __doc__)
