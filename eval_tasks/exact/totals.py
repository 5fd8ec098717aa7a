"""Totals of MMCR-Exact from the points of each turn. The clusters are the linked dialogues with all made from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from eval_tasks.task import Scored, Total, Unit
from mmcr_bench.exact.views import insufficient_views

# What a sample asks: the linked dialogue with the model's own replies in the history; its last question after the true
# answers; all questions resolved; the last one resolved and alone; the other halves of pairs, after the true answers.
OWN, TRUE, RESOLVED, ALONE, HISTORY, IMAGE = "own", "true", "resolved", "alone", "history", "image"
REST = "rest"  # part of a total without weight
_LAST = {"last_linked": OWN, "last_true_history": TRUE, "last_resolved": RESOLVED, "last_alone": ALONE}
_BREAKDOWNS = ("op", "domain", "image_age", "distance", "images_since", "hops", "needs")
_COSTS = {  # what the same last question loses: in which telling it is easier, in which it is harder
    "cost_of_context": (ALONE, OWN),
    "cost_of_dialogue": (ALONE, RESOLVED),
    "cost_of_references": (RESOLVED, OWN),
    "cost_of_own_errors": (TRUE, OWN),
}


class Question(NamedTuple):
    """An asked question and its reply.

    Attributes:
        group: the linked dialogue.
        asked: its entry in `exact.jsonl`.
        domain: of the dialogue.
        points: 1 or 0; 0 without a reply.
        is_answered: there is a reply.
        is_read: an answer could be read from it.
        follows: whether the reply is the answer that follows from the model's own earlier replies; None if that is the
            true answer, or nothing follows.
    """

    group: str
    asked: Mapping[str, Any]
    domain: str
    points: float
    is_answered: bool
    is_read: bool
    follows: bool | None


def exact_totals(scored: Sequence[Scored]) -> dict[str, Total]:
    """All totals; those without any question are left out. Each asked question counts, an unanswered one as wrong.

    Args:
        scored: samples with the points of `mmcr_exact.score`.
    """
    questions = [one for sample in scored if sample.sample.target["kind"] == OWN for one in questions_of(sample)]
    units: dict[str, list[Unit]] = {"accuracy": [_unit(one) for one in questions]}
    for one in questions:
        for name, points in _parts_of(one):
            units.setdefault(name, []).append(Unit(one.group, points, is_lost=not one.is_answered))
    for name, unit in [*_above_guess(questions), *_follows(questions), *_tellings(scored), *_pairs(scored)]:
        units.setdefault(name, []).append(unit)
    first = ("accuracy", "referring", "explicit", "above_guess", "above_guess_referring", "pair_history", "pair_image")
    names = [*(name for name in first if name in units), *sorted(units.keys() - set(first), key=_order)]
    return {name: _to_total(name, units[name]) for name in names if units[name]}


def _to_total(name: str, units: Sequence[Unit]) -> Total:
    weights = {"": 100.0, REST: 0.0} if any(unit.part for unit in units) else {"": 100.0}
    field = next((field for field in _BREAKDOWNS if name.startswith(f"{field}_")), "")
    return Total(units, weights, breakdown=field)


def _unit(one: Question) -> Unit:
    return Unit(one.group, one.points, is_lost=not one.is_answered)


def _order(name: str) -> tuple[str, int]:
    """`distance_10` after `distance_9`."""
    stem, _, number = name.rpartition("_")
    return (stem, int(number)) if number.isdigit() else (name, -1)


def questions_of(one: Scored) -> list[Question]:
    """The asked questions of a sample."""
    target, given = one.sample.target, one.sample.num_given_turns
    found = []
    for turn, asked in enumerate(target["turns"][given:], start=given + 1):
        points = one.points.get(f"turn {turn}")
        follows = one.points.get(f"follows {turn}")
        found.append(
            Question(
                group=one.sample.group,
                asked=asked,
                domain=target["domain"],
                points=points or 0.0,
                is_answered=f"turn {turn}" in one.points,
                is_read=points is not None,
                follows=None if follows is None else follows > 0,
            )
        )
    return found


def best_guess(asked: Mapping[str, Any]) -> float | None:
    """How often the best view that lacks something the question needs is right; None if that was not computed.

    Args:
        asked: the question's entry in `exact.jsonl`.
    """
    facts, guesses = asked["facts"], asked["guesses"]
    views = ["blind", *insufficient_views(asked["op"], facts["distance_turns"], facts["image_age"])]
    return max((guesses[view] for view in views if view in guesses), default=None)


def _parts_of(one: Question) -> Iterator[tuple[str, float]]:
    """(metric, points) of a question besides `accuracy`."""
    asked, facts = one.asked, one.asked["facts"]
    yield "referring" if facts["distance_turns"] else "explicit", one.points
    yield f"op_{asked['op']}", one.points
    yield f"domain_{one.domain}", one.points
    yield f"image_age_{facts['image_age']}", one.points
    if facts["distance_turns"]:
        yield f"distance_{facts['distance_turns']}", one.points
        yield f"images_since_{facts['distance_images']}", one.points
        yield f"hops_{facts['hops']}", one.points
    for kind in facts["needs"]:
        yield f"needs_{kind}", one.points
    is_carried = one.follows is True
    yield "errors_unanswered", float(not one.is_answered)
    yield "errors_unread", float(one.is_answered and not one.is_read)
    yield "errors_carried", float(is_carried)
    yield "errors_fresh", float(one.is_read and not one.points and not is_carried)


def _over_some(name: str, values: Sequence[tuple[str, float | None]]) -> list[tuple[str, Unit]]:
    """A metric over those with a value; the others keep their groups without weight, so that all runs have the same.

    Args:
        name: the metric.
        values: group and value; None where the replies leave none.
    """
    if all(value is None for _, value in values):
        return []
    return [(name, Unit(group, value or 0.0, REST if value is None else "")) for group, value in values]


def _follows(questions: Sequence[Question]) -> list[tuple[str, Unit]]:
    """Of the questions whose answer an own earlier error changes: whether the reply is that answer."""
    values = [(one.group, None if one.follows is None else float(one.follows)) for one in questions]
    return _over_some("follows_own_errors", values)


def _above_guess(questions: Sequence[Question]) -> Iterator[tuple[str, Unit]]:
    """(points - guess) / (1 - guess) of each question whose guess leaves something open; of those that refer back."""
    for one in questions:
        guess = best_guess(one.asked)
        if guess is not None and guess < 1:
            unit = Unit(one.group, (one.points - guess) / (1 - guess))
            yield "above_guess", unit
            if one.asked["facts"]["distance_turns"]:
                yield "above_guess_referring", unit


def _tellings(scored: Sequence[Scored]) -> Iterator[tuple[str, Unit]]:
    """The last question of each dialogue in every telling, what is lost between them; all of some tellings."""
    last: dict[str, dict[str, Question]] = {}
    for one in scored:
        kind, questions = one.sample.target["kind"], questions_of(one)
        last.setdefault(one.sample.group, {})[kind] = questions[-1]
        if kind in (RESOLVED, ALONE):
            yield from ((f"{kind}_accuracy", _unit(question)) for question in questions)
    for name, kind in _LAST.items():
        yield from ((name, _unit(found[kind])) for found in last.values() if kind in found)
    for name, kinds in _COSTS.items():
        both = [(group, [found[kind] for kind in kinds]) for group, found in last.items() if found.keys() >= {*kinds}]
        yield from _over_some(name, [(group, _lost(*questions)) for group, questions in both])


def _lost(easier: Question, harder: Question) -> float | None:
    """What is lost between two tellings; a failure is no cost."""
    return easier.points - harder.points if easier.is_answered and harder.is_answered else None


def _pairs(scored: Sequence[Scored]) -> Iterator[tuple[str, Unit]]:
    """Pairs of last questions after the true answers: both halves right, and whether the replies differ at all."""
    of_kind: dict[str, dict[str, Scored]] = {TRUE: {}, HISTORY: {}, IMAGE: {}}
    for one in scored:
        if one.sample.target["kind"] in of_kind:
            of_kind[one.sample.target["kind"]][one.sample.group] = one
    for kind in (HISTORY, IMAGE):
        for group, other in of_kind[kind].items():
            half = of_kind[TRUE].get(group)
            if half is not None:
                both = min(questions_of(half)[-1].points, questions_of(other)[-1].points)
                said = {one.replies[-1].strip().lower() if one.replies else None for one in (half, other)}
                yield f"pair_{kind}", Unit(group, both)
                yield f"pair_{kind}_replies_differ", Unit(group, float(len(said) == 2 and None not in said))
