"""Dialogues whose every turn has points of its own: totals over turns, by turn, and of whole dialogues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eval_tasks.task import Points, Scored, Total, Unit


def to_points(metric: str, of_turns: Mapping[int, float | None], num_turns: int) -> Points:
    """The points of a dialogue: the mean over its turns, 0 for those without points, and `turn N` of each.

    Args:
        metric: name of the mean.
        of_turns: turn (from 0) -> points; None where nothing could be read.
        num_turns: number of turns that are asked.
    """
    if not of_turns:
        return {metric: None}
    points: dict[str, float | None] = {metric: sum(value or 0.0 for value in of_turns.values()) / num_turns}
    return points | {f"turn {turn + 1}": value for turn, value in of_turns.items()}


def turn_totals(scored: Sequence[Scored], metric: str, max_points: float = 1.0) -> dict[str, Total]:
    """The mean over all turns, and over the turns of each number; a turn without points is lost and counts as 0."""
    scale = {"": 100.0 / max_points}
    units: dict[str, list[Unit]] = {metric: []}
    for one in scored:
        for turn in range(1, len(one.sample.dialogue.turns) + 1):
            is_there = f"turn {turn}" in one.points
            unit = Unit(one.sample.group, one.points.get(f"turn {turn}") or 0.0, is_lost=not is_there)
            units[metric].append(unit)
            units.setdefault(f"turn {turn}", []).append(unit)
    return {name: Total(found, scale, max_points) for name, found in units.items()}


def whole_dialogues(scored: Sequence[Scored]) -> Total:
    """The share of dialogues of which every turn has full points."""
    units = []
    for one in scored:
        turns = [one.points.get(f"turn {turn + 1}") for turn in range(len(one.sample.dialogue.turns))]
        units.append(Unit(one.sample.group, float(all(value == 1.0 for value in turns)), is_lost=one.is_lost))
    return Total(units)


def points_by_turn(one: Scored, max_points: float = 1.0) -> list[float | None]:
    """The points of each turn, up to 100, None for one without. Args: see `Task.by_turn`."""
    points = [one.points.get(f"turn {turn + 1}") for turn in range(len(one.sample.dialogue.turns))]
    return [None if value is None else 100.0 * value / max_points for value in points]
