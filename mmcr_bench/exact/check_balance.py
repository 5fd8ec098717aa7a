"""Balance of the answers in a set: nothing is known about an answer before its images and its dialogue are read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from statistics import fmean
from typing import Any

from mmcr_bench.exact.scene import DOMAINS, num_answers
from mmcr_bench.exact.views import limit_of
from mmcr_bench.exact.wording import REFUSAL

TOLERANCE = 0.02  # of an answer's share
_MIN_ROWS = 50
_Z = 2.576  # 99 %: chance is not called an imbalance


def find_imbalance(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Answers that are too frequent: more than the tolerance and chance allow.

    Values of attributes, places, yes and no are compared with a uniform share, image names with a uniform share among
    the images shown; numbers, whose shares are never uniform, with the limit of what may be guessed.
    """
    for (domain, side, type_, num_shown), counts in sorted(count_answers(lines).items()):
        total = counts.total()
        if total < _MIN_ROWS:
            continue
        place = f"{domain}, side {side}, type {type_}" + (f", {num_shown} images shown" if num_shown else "")
        num_values = num_answers(DOMAINS[domain], side, type_, num_shown)
        num_cells = len(DOMAINS[domain].cells[side])
        expected = limit_of(type_, num_cells) if num_values is None else 1 / num_values
        allowed = expected + (0 if num_values is None else TOLERANCE) + _Z * sqrt(expected * (1 - expected) / total)
        answer, most = counts.most_common(1)[0]
        if most / total > allowed:
            yield f"{place}: answer {answer} has {most / total:.3f} of {total} answers, allowed {allowed:.3f}"


def find_blind_guesses(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Operators whose words alone tell the answer more often than the limit and chance allow."""
    found: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
    for line in lines:
        num_cells = len(DOMAINS[line["domain"]].cells[line["side"]])
        for asked in line["turns"]:
            if "blind" in asked["guesses"]:
                found[(asked["op"], asked["type"], num_cells)].append(asked["guesses"]["blind"])
    for (op, type_, num_cells), guesses in sorted(found.items()):
        limit = limit_of(type_, num_cells)
        allowed = limit + _Z * sqrt(limit * (1 - limit) / len(guesses))
        if len(guesses) >= _MIN_ROWS and fmean(guesses) > allowed:
            yield f"{op}, type {type_}, {num_cells} cells: blind guess {fmean(guesses):.3f}, allowed {allowed:.3f}"


def count_answers(lines: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int, str, int], Counter[int]]:
    """Answers by domain, side, type and, for names of images, the number of images shown; refusals left out."""
    found: defaultdict[tuple[str, int, str, int], Counter[int]] = defaultdict(Counter)
    for line in lines:
        for turn, asked in enumerate(line["turns"]):
            if asked["answer"] != REFUSAL:
                shown = sum(at <= turn for at in line["shown_at"]) if asked["type"] == "image" else 0
                found[(line["domain"], line["side"], asked["type"], shown)][asked["answer"]] += 1
    return dict(found)
