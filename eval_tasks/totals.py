"""Totals of benchmarks as weighted sums of means, with confidence intervals over clusters inside the metric's scale.

Accuracy is one mean; MME the sum of 2 x 14 means (questions and images of each sub-task); HallusionBench the mean of
three; a macro average the mean over categories. The clusters are the units' groups, within the strata defined by the
parts: Student's t below MANY_CLUSTERS groups, the bootstrap of whole groups otherwise (mmcr_bench/intervals.py).

Shapes: G groups, P parts, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import comb
from operator import attrgetter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from eval_tasks.task import Scored, Task, Total, Unit
from mmcr_bench.intervals import (
    LEVEL,
    MANY_CLUSTERS,
    Difference,
    Interval,
    t_difference,
    t_interval,
    to_difference,
)

Key = TypeVar("Key")
_MAX_CELLS = 4_000_000  # counts in memory at once: 32 MB


def grouped(scored: Iterable[Scored], key: Callable[[Scored], Key]) -> dict[Key, list[Scored]]:
    """The samples by their key, in order of appearance."""
    of: dict[Key, list[Scored]] = {}
    for one in scored:
        of.setdefault(key(one), []).append(one)
    return of


def by_target(*fields: str) -> Callable[[Scored], tuple[str, ...]]:
    """The key of samples that are alike in these fields of the target."""
    return lambda one: tuple(str(one.sample.target[field]) for field in fields)


def mean_total(scored: Iterable[Scored], metric: str, scale: float = 100.0, max_points: float = 1.0) -> Total:
    """Mean of a metric over all samples; one without points (no reply, unread, unjudged) counts as 0."""
    return Total([unit_of(one, metric) for one in scored], {"": scale}, max_points)


def unit_of(one: Scored, metric: str, part: str = "") -> Unit:
    """A sample as a unit of its group."""
    return Unit(one.sample.group, 0.0 if one.is_lost else one.points.get(metric) or 0.0, part, one.is_lost)


def whole_unit(members: Sequence[Scored], metric: str, part: str = "") -> Unit:
    """Several samples of a group as a unit that counts only if all are right.

    It is lost if a member is lost and no other one is wrong: the lost one would have decided.
    """
    units = [unit_of(one, metric) for one in members]
    known = [unit.points for unit in units if not unit.is_lost]
    is_lost = len(known) < len(units) and min(known, default=1.0) > 0
    return Unit(units[0].group, 0.0 if is_lost else min(known), part, is_lost)


def whole_units(
    scored: Iterable[Scored],
    metric: str,
    part: str = "",
    key: Callable[[Scored], object] = lambda one: one.sample.group,
) -> list[Unit]:
    """One unit, see `whole_unit`, for all samples of the same key; default of the same group."""
    return [whole_unit(members, metric, part) for members in grouped(scored, key).values()]


def macro_total(units: Sequence[Unit], scale: float = 100.0) -> Total:
    """Macro average: mean over the parts' means."""
    parts = dict.fromkeys(unit.part for unit in units)
    return Total(units, {part: scale / len(parts) for part in parts})


def totals_by(
    scored: Iterable[Scored], key: str, metric: str = "accuracy", scale: float = 100.0, max_points: float = 1.0
) -> dict[str, Total]:
    """Mean of a metric for each value of a field of the target, in alphabetical order."""
    of = grouped(scored, lambda one: str(one.sample.target.get(key) or "none"))
    return {
        name: replace(mean_total(of[name], metric, scale, max_points), breakdown=key) for name in sorted(of, key=_order)
    }


def _order(name: str) -> tuple[float, str]:
    """Numbers by their value, then texts."""
    return (float(name), "") if name.isdecimal() else (float("inf"), name)


def totals_by_subject(scored: Sequence[Scored], metric: str, scale: float, max_points: float) -> dict[str, Total]:
    """Mean of a metric for each domain and topic of the dialogues that name them."""
    found: dict[str, Total] = {}
    for field in ("domain", "topic"):
        subject = attrgetter(f"sample.dialogue.{field}")
        of = grouped([one for one in scored if subject(one) is not None], subject)
        for value in sorted(of):
            total = mean_total(of[value], metric, scale, max_points)
            if field == "topic":  # the usual cluster: within one the dialogues are the clusters
                ids = [one.sample.dialogue.id for one in of[value]]
                units = [unit._replace(group=name) for unit, name in zip(total.units, ids, strict=True)]
                total = replace(total, units=units)
            found[f"{metric}, {field} {value}"] = replace(total, breakdown=field)
    return found


def task_totals(task: Task, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """A task's totals; of several answers to each sample the mean, and pass@k of the main metric.

    pass@k is the chance that at least one of k answers is right (arXiv 2107.03374), for k = 1, 2, 4, ... and all.
    """
    of = grouped(scored, lambda one: one.repeat)
    if len(of) < 2:
        return task.totals(scored, rules)
    each = [task.totals(members, rules) for members in of.values()]
    found = {metric: _mean_of([one[metric] for one in each if metric in one]) for metric in each[0]}
    main = next(iter(each[0]), "")
    firsts = [one[main].units for one in each if main in one]
    if any(unit.points not in (0.0, 1.0) for units in firsts for unit in units):
        return found
    for k in sorted({2**power for power in range(1, 8) if 2**power < len(of)} | {len(of)}):
        units = [_passed(same, k) for same in zip(*firsts, strict=True)]
        found[f"{main} pass@{k}"] = replace(each[0][main], units=units)
    return found


def _mean_of(totals: Sequence[Total]) -> Total:
    """The mean of totals over the same groups: their parts with a share of the weight each."""
    units = [unit._replace(part=f"{unit.part}#{n}") for n, total in enumerate(totals) for unit in total.units]
    weights = {
        f"{part}#{n}": weight / len(totals) for n, total in enumerate(totals) for part, weight in total.weights.items()
    }
    return replace(totals[0], units=units, weights=weights)


def _passed(same: Sequence[Unit], k: int) -> Unit:
    """One unit of all answers: the chance that one of k of them is right."""
    num_wrong = sum(unit.points == 0 for unit in same)
    chance = 1 - comb(num_wrong, k) / comb(len(same), k)
    return same[0]._replace(points=chance, is_lost=all(unit.is_lost for unit in same))


def totals_by_shape(task: Task, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """The main metric by number of images, number of turns and, where turns have points, position of the turn.

    A number that is the same for all samples has no total of its own.
    """
    if not scored or not all(one.sample.has_gold for one in scored):
        return {}
    metric = next(iter(task_totals(task, scored, rules)), "")
    found: dict[str, Total] = {}
    for field in ("images", "turns"):
        members = attrgetter(f"sample.dialogue.{field}")
        of = grouped(scored, lambda one: len(members(one)))  # noqa: B023  (called at once)
        for value in sorted(of) if len(of) > 1 else ():
            if metric in (totals := task_totals(task, of[value], rules)):
                found[f"{metric}, {field} {value}"] = replace(totals[metric], breakdown=field)
    return found | _totals_by_turn(task, scored, metric)


def _totals_by_turn(task: Task, scored: Sequence[Scored], metric: str) -> dict[str, Total]:
    """The points of each position of a turn, a missing one as 0."""
    if task.by_turn is None:
        return {}
    of_turn: dict[int, list[Unit]] = {}
    for one in scored:
        given = one.sample.num_given_turns
        points = [] if one.failure else list(task.by_turn(one))
        for turn in range(given, len(one.sample.dialogue.turns)):
            value = points[turn - given] if turn - given < len(points) else None
            of_turn.setdefault(turn + 1, []).append(Unit(one.sample.group, value or 0.0, is_lost=value is None))
    if all(unit.is_lost for units in of_turn.values() for unit in units):
        return {}  # not judged turn by turn
    return {
        f"{metric}, turn {turn}": Total(units, {"": 1.0}, 100.0, breakdown="turn") for turn, units in of_turn.items()
    }


def interval_of(total: Total, seed: int = 0, num_resamples: int = 2000) -> Interval:
    """The total with its 95 % confidence interval inside the metric's scale; -inf and inf with a single group."""
    num_groups = len({unit.group for unit in total.units})
    if num_groups < 2:
        return Interval(total.value, -np.inf, np.inf)
    if num_groups < MANY_CLUSTERS:
        (influences,), num_strata = _influences([total])
        found = t_interval(total.value, influences, num_strata)
    else:
        values = resampled([total], seed, num_resamples)[0]
        low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        found = Interval(total.value, float(low), float(high))
    if not np.isfinite(found.high):
        return found
    return Interval(found.mean, max(total.lowest, found.low), min(total.highest, found.high))


def difference_of(a: Total, b: Total, seed: int = 0, num_resamples: int = 2000) -> Difference:
    """Paired difference `a - b` of totals over the same groups.

    Args:
        a: total of the first run.
        b: total of the second run.
        seed: random seed of the bootstrap.
        num_resamples: number of bootstrap resamples.

    Raises:
        ValueError: the two totals are not over the same groups.
    """
    groups = {unit.group for unit in a.units}
    if groups != {unit.group for unit in b.units}:
        raise ValueError("the two runs have different groups; compare runs of the same samples")
    difference = a.value - b.value
    if len(groups) < 2:
        return to_difference(difference, None)
    if len(groups) < MANY_CLUSTERS:
        (of_a, of_b), num_strata = _influences([a, b])
        found = t_difference(difference, of_a - of_b, num_strata)
    else:
        values_a, values_b = resampled([a, b], seed, num_resamples)
        found = to_difference(difference, values_a - values_b, len(groups))
    reach = max(a.highest, b.highest) - min(a.lowest, b.lowest)
    if not np.isfinite(found.high):
        return found
    return replace(found, low=max(-reach, found.low), high=min(reach, found.high))


def _influences(totals: Sequence[Total]) -> tuple[list[NDArray[np.float64]], int]:
    """What each group adds to the error of each total [G] (linearized ratio of sums), and the number of strata."""
    groups = sorted({unit.group for total in totals for unit in total.units})
    number = {group: index for index, group in enumerate(groups)}
    found, num_strata = [], 1
    for total in totals:
        sums_GP, counts_GP, has_units_GP = _sums_and_counts(total, number)  # noqa: N806
        counts_P = counts_GP.sum(axis=0)  # noqa: N806
        shares_P = np.divide(1.0, counts_P, out=np.zeros_like(counts_P), where=counts_P > 0)  # noqa: N806
        weights_P = np.array(list(total.weights.values())) * shares_P  # noqa: N806
        found.append((sums_GP - sums_GP.sum(axis=0) * shares_P * counts_GP) @ weights_P)
        num_strata = max(num_strata, len({row.tobytes() for row in has_units_GP}))
    return found, num_strata


def resampled(totals: Sequence[Total], seed: int = 0, num_resamples: int = 2000) -> list[NDArray[np.float64]]:
    """Values [R] of each total in each resample; all totals use the same draws."""
    groups = sorted({unit.group for total in totals for unit in total.units})
    number = {group: index for index, group in enumerate(groups)}
    tables = [_sums_and_counts(total, number) for total in totals]
    strata: dict[bytes, list[int]] = {}
    for index, row in enumerate(tables[0][2]):
        strata.setdefault(row.tobytes(), []).append(index)
    rng = np.random.default_rng(seed)
    step = max(1, _MAX_CELLS // len(groups))
    values = [np.empty(num_resamples) for _ in totals]
    for start in range(0, num_resamples, step):
        size = min(step, num_resamples - start)
        draws = np.zeros((size, len(groups)))
        for members in strata.values():
            draws[:, members] = rng.multinomial(len(members), [1 / len(members)] * len(members), size=size)
        for value, total, (sums_GP, counts_GP, _) in zip(values, totals, tables, strict=True):  # noqa: N806
            drawn = draws @ counts_GP
            means = np.divide(draws @ sums_GP, drawn, out=np.zeros_like(drawn), where=drawn > 0)
            value[start : start + size] = means @ np.array(list(total.weights.values()))
    return values


def _sums_and_counts(
    total: Total, number: Mapping[str, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Points and sizes [G P] of each group in each part, and whether it has units there."""
    part_number = {part: index for index, part in enumerate(total.weights)}
    sums, counts = np.zeros((2, len(number), len(part_number)))
    has_units = np.zeros(sums.shape, dtype=bool)
    for unit in total.units:
        place = number[unit.group], part_number[unit.part]
        sums[place] += unit.points
        counts[place] += unit.size
        has_units[place] = True
    return sums, counts, has_units
