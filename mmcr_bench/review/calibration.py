"""Calibration items: dialogues outside the bench with a planted error, hidden among the items of a review.

What an expert does with them says how much the expert sees. They never become a part of the bench.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

from mmcr_bench.review.event_log import ReviewLog
from mmcr_bench.review.rounds import Event, Item
from mmcr_bench.select.candidates import load_by_id, read_candidates
from mmcr_bench.select.draw import Candidate, Images, add_images, draw_order, shares_image
from mmcr_bench.trust.fact_changes import change_turns
from mmcr_dataset.record.dialogue import Dialogue, image_entries

_MIN_TURNS = 3
_AS_MMDU = {
    "precision": "answer_accuracy",
    "consistency": "image_relationship",
    "logical": "logical_coherence",
    "clarity": "logical_coherence",
    "redundancy": "richness",
}


@dataclass(frozen=True, slots=True)
class Planted:
    """A dialogue with an error.

    Attributes:
        dialogue: the dialogue.
        flags: criteria that the error breaks.
        what: the error in words, for the keeper.
    """

    dialogue: Dialogue
    flags: tuple[str, ...]
    what: str


def plant_error(dialogue: Dialogue, number: int) -> Planted | None:
    """Plant one error: a fact changed, an answer repeated, or two answers swapped; None where none can be.

    Args:
        dialogue: a good dialogue.
        number: which kind is tried first.
    """
    kinds = (_change_fact, _repeat_answer, _swap_answers)
    return next((made for step in range(3) if (made := kinds[(number + step) % 3](dialogue)) is not None), None)


def _with_answers(dialogue: Dialogue, answers: Sequence[str]) -> Dialogue:
    turns = tuple(replace(turn, assistant=text) for turn, text in zip(dialogue.turns, answers, strict=True))
    return replace(dialogue, turns=turns)


def _change_fact(dialogue: Dialogue) -> Planted | None:
    for kind, turn, answers in change_turns(dialogue, 1):
        what = f"{kind} changed in answer {turn + 1}"
        return Planted(_with_answers(dialogue, answers), ("precision", "consistency"), what)
    return None


def _repeat_answer(dialogue: Dialogue) -> Planted | None:
    answers = list(dialogue.references)
    if len(answers) < _MIN_TURNS or answers[0] == answers[-1]:
        return None
    answers[-1] = f"{answers[0]} {answers[-1]}"
    return Planted(_with_answers(dialogue, answers), ("redundancy",), "answer 1 repeated in the last answer")


def _swap_answers(dialogue: Dialogue) -> Planted | None:
    answers = list(dialogue.references)
    if len(answers) < _MIN_TURNS or answers[1] == answers[-1]:
        return None
    answers[1], answers[-1] = answers[-1], answers[1]
    return Planted(
        _with_answers(dialogue, answers), ("logical", "consistency", "clarity"), "answers 2 and last swapped"
    )


def add_calibration(log: ReviewLog, dataset: Path, number: int, seed: int) -> int:
    """Open calibration items drawn from a data set; returns how many, fewer where too few are free.

    A dialogue that shares an image with the review is left out, so that no expert sees an image twice.
    """
    seen = Images()
    for event in log.events():
        if event.dialogue is not None:
            hashes = tuple(image["phash"] for image in image_entries(event.dialogue) if image["phash"])
            add_images(seen, Candidate(event.item, None, hashes))
    opened = 0
    for candidate in draw_order(read_candidates([dataset])[0], seed):
        if opened == number:
            break
        if candidate.id in log.items() or not candidate.phashes or shares_image(seen, candidate):
            continue
        planted = plant_error(load_by_id([dataset], [candidate.id])[0], opened)
        if planted is None:
            continue
        add_images(seen, candidate)
        flags = planted.flags if log.recipe == "mmcr" else tuple(sorted({_AS_MMDU[flag] for flag in planted.flags}))
        event = Event("opened", candidate.id, 1, "calibration", time.time(), flags, planted.what)
        log.add_dialogue(event, planted.dialogue)
        opened += 1
    return opened


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What an expert did with calibration items.

    Attributes:
        num_marked: calibration items the expert has marked.
        num_flagged: of these, flagged by any criterion.
        num_named: of these, flagged by a criterion that the planted error breaks.
    """

    num_marked: int
    num_flagged: int
    num_named: int

    def show(self) -> str:
        """Share found with its 95 % interval (Wilson)."""
        low, high = wilson_interval(self.num_flagged, self.num_marked)
        share = self.num_flagged / self.num_marked
        return (
            f"{share:.0%} [{low:.0%}, {high:.0%}] of {self.num_marked} planted errors found, "
            f"{self.num_named} by a criterion that the error breaks"
        )


def wilson_interval(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share; needs at least one trial."""
    z = NormalDist().inv_cdf(0.975)
    share, scale = hits / total, 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    half = z / scale * (share * (1 - share) / total + z * z / (4 * total * total)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def measure_sensitivity(items: Mapping[str, Item]) -> dict[str, Sensitivity]:
    """By expert, over the calibration items marked so far."""
    planted = [item for item in items.values() if item.planted]
    found = {}
    for expert in sorted({expert for item in planted for expert in item.marks}):
        marked = [(item.marks[expert].flags, item.planted) for item in planted if expert in item.marks]
        flagged = sum(bool(flags) for flags, _ in marked)
        found[expert] = Sensitivity(len(marked), flagged, sum(bool(set(f) & set(p)) for f, p in marked))
    return found
