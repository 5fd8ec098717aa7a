"""python -m benchmarks.bench_judges: how often simulated judges of known faults are called fit by their canaries.

200 runs a judge, each with canaries of 30 dialogues that state facts. `unfit by` names the canaries that failed most.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Sequence

from mmcr_bench.judge.judgement import Judgement
from mmcr_bench.judge.rubric import NAMES
from mmcr_bench.trust import canaries
from mmcr_bench.trust.canary_replies import ORDERS
from mmcr_dataset.publish.markdown_table import to_table
from mmcr_dataset.record.dialogue import Dialogue, Turn

Texts = Sequence[str]
_THINGS = ("boats", "towers", "bowls", "birds", "chairs", "lamps", "doors", "kites", "trains", "bells")
_COLOURS = ("red", "blue", "green", "white", "black", "yellow")
_NUMBERS = ("Two", "Three", "Four", "Five", "Six")
NUM_DIALOGUES = 30


def stated_dialogue(number: int) -> Dialogue:
    """A dialogue of four turns; the references of each state facts."""
    thing, colour = _THINGS[number % 10], _COLOURS[number % 6]
    said = (
        f"{_NUMBERS[number % 5]} {thing} lie close to each other on the shore of a calm lake.",
        f"The first of the {thing} is painted {colour}, which stands out against the water behind it.",
        f"A dog sits at the left of the {thing} and looks at somebody who is outside the frame.",
        f"Behind them {number + 20} people walk along a path that leads to a village, seen before.",
    )
    return Dialogue(
        f"d{number}", tuple(Turn((f"What else is there to see, part {n}?",), t) for n, t in enumerate(said))
    )


def word_share(reference: str, reply: str) -> float:
    """Share of the reference's words that the reply has."""
    return len(set(reference.split()) & set(reply.split())) / len(set(reference.split()))


def honest(references: Texts, replies: Texts) -> dict[str, float]:
    """The rubric to the letter: 7.5 of 10 for wrong turns in their share, 2 for a wrong fact, the penalties."""
    worth = 0.0
    for reference, reply in zip(references, replies, strict=True):
        share = word_share(reference, reply)
        worth += 1 if reply.startswith(reference) else 0.6 if share > 0.8 else 0
    scores = dict.fromkeys(NAMES, 1 + 7.5 * worth / len(references))
    ratio = len(" ".join(replies).split()) / len(" ".join(references).split())
    scores["precision"] -= abs(ratio - 1) > 0.2
    scores["redundancy"] -= len(replies) - len(set(replies))
    scores["logical"] -= 2 * (worth < 0.8 * len(references))
    return scores


def fact_blind(references: Texts, replies: Texts) -> dict[str, float]:
    """Honest, but numbers, colours, sides are all the same to it."""
    blurred = [
        reference if word_share(reference, reply) > 0.8 and len(reply.split()) < 1.2 * len(reference.split()) else reply
        for reference, reply in zip(references, replies, strict=True)
    ]
    return honest(references, blurred)


def obeys(name: str) -> Callable[[Texts, Texts], dict[str, float]]:
    """Honest, but an order in this wording is followed."""

    def score(references: Texts, replies: Texts) -> dict[str, float]:
        is_told = any(ORDERS[name] in reply for reply in replies)
        return dict.fromkeys(NAMES, 10.0) if is_told else honest(references, replies)

    return score


JUDGES: dict[str, tuple[float, Callable[[Texts, Texts], dict[str, float]]]] = {
    "honest, SD 1": (1.0, honest),
    "honest, SD 2": (2.0, honest),
    "random": (0.0, lambda references, replies: {}),
    "constant": (0.0, lambda references, replies: dict.fromkeys(NAMES, 7.0)),
    "lenient": (1.0, lambda t, r: {name: 7 + score * 0.3 for name, score in honest(t, r).items()}),
    "length-lover": (1.0, lambda t, r: dict.fromkeys(NAMES, min(10.0, len(" ".join(r)) / len(" ".join(t)) * 6))),
    "last turn only": (1.0, lambda t, r: honest(t[-1:], r[-1:])),
    "blind to facts": (1.0, fact_blind),
    "obeys a note with a dictionary": (1.0, obeys("order_note")),
    "obeys a plain order": (1.0, obeys("order_plain")),
    "obeys a false authority": (1.0, obeys("order_authority")),
    "obeys a rating in prose": (1.0, obeys("order_prose")),
    "obeys in other languages": (1.0, obeys("order_translated")),
}


class Simulated:
    """A judge with noise of a standard deviation in each score, on the scale of 1 to 10."""

    is_offline = False
    names = NAMES

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self._noise, self._score = JUDGES[name]
        self._random = random.Random(seed)

    def describe(self) -> dict[str, object]:
        """Its name."""
        return {"judge": self.name}

    def estimate_usd(self, dialogues: Sequence[Dialogue], replies: Sequence[Texts]) -> float | None:
        """Nothing is paid."""
        return 0.0

    def score(self, dialogues: Sequence[Dialogue], replies: Sequence[Texts]) -> list[Judgement]:
        """One judgement a dialogue."""
        return [Judgement(self._judge(one.references, given)) for one, given in zip(dialogues, replies, strict=True)]

    def _judge(self, references: Texts, replies: Texts) -> dict[str, float]:
        scores = self._score(references, replies) or {name: self._random.uniform(0.5, 10.5) for name in NAMES}
        noisy = {name: round(score + self._random.gauss(0, self._noise)) for name, score in scores.items()}
        return {name: float(min(10, max(1, score))) for name, score in noisy.items()}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    num_runs = parser.parse_args().runs
    dialogues = [stated_dialogue(number) for number in range(NUM_DIALOGUES)]
    made = canaries.make_canaries(dialogues)

    def same(
        dialogues: Sequence[Dialogue], world: Sequence[Dialogue] = ()
    ) -> tuple[list[Dialogue], list[canaries.Asked]]:
        return made  # the same replies in every run

    canaries.make_canaries = same
    rows = []
    for name in JUDGES:
        num_fit, failed, areas = 0, Counter[str](), []
        for seed in range(num_runs):
            fitness = canaries.check_judge(Simulated(name, seed), dialogues)
            num_fit += fitness.is_fit
            failed.update(result.name for result in fitness.results if not result.passed)
            areas.append(fitness.detection.auc.value if fitness.detection else 0.5)
        reasons = ", ".join(f"{canary} {count}" for canary, count in failed.most_common(3))
        rows.append(
            [name, f"{num_fit / num_runs:.3f}", f"{1 - num_fit / num_runs:.3f}", sum(areas) / num_runs, reasons]
        )
        rows[-1][3] = f"{rows[-1][3]:.2f}"
    print(to_table([f"judge ({num_runs} runs)", "fit", "unfit", "AUC of facts", "unfit by"], rows))


if __name__ == "__main__":
    main()
