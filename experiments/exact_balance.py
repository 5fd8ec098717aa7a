"""What does a training set lose that is dominated by one kind of reference, or by one domain? In the controlled world.

    python -m experiments.exact_balance --output_dir out/balance --seeds 0 1 2 3 4

Arms of equally many linked dialogues about shapes and numerals: even in operators and domains; most of them asking with
one operator alone; most of them of one domain. The loss is shown by operator and by domain.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from experiments.arm import Arm, Experiment
from experiments.conduct import Conductor, main
from experiments.exact_world import EXACT, EXPLICIT, MEASURES, REFERRING, TEST, TRAIN, BuildSet, ExactExperiment

_WORLD = ("--images", "1-3", "--turns", "6")
_DOMAINS = ("shapes", "numerals")
_OPS = [op for op in REFERRING.split(",") if op not in EXPLICIT.split(",")]


@dataclass(frozen=True, kw_only=True)
class ExactBalance(ExactExperiment):
    """Balance of operators and of domains in the controlled world.

    Attributes:
        percent: share of the dominant operator's or domain's dialogues.
        operator: the dominant operator, one that refers back.
        domain: the dominant domain, shapes or numerals.
    """

    metrics: tuple[str, ...] = tuple(
        f"mmcr_exact/{name}"
        for name in (*MEASURES, *(f"op_{op}" for op in _OPS), *(f"domain_{domain}" for domain in _DOMAINS))
    )
    percent: int = 90
    operator: str = "it"
    domain: str = "shapes"

    def sets(self) -> Mapping[str, BuildSet]:
        """Even dialogues, those of one operator, those of one domain, and held-out even ones.

        Raises:
            ValueError: an operator, domain or share is not known.
        """
        if self.operator not in _OPS or self.domain not in _DOMAINS or not 0 < self.percent <= 100:
            raise ValueError(
                f"--operator {self.operator} --domain {self.domain} --percent {self.percent}: expected one of "
                f"{', '.join(_OPS)}; one of {', '.join(_DOMAINS)}; 1 to 100"
            )
        linked, both = (*_WORLD, "--telling", "linked", *TRAIN), ("--domains", ",".join(_DOMAINS))
        ops = f"{EXPLICIT},{self.operator}"
        return {
            "even": BuildSet(self.dialogues, (*linked, *both, "--ops", REFERRING)),
            "operator": BuildSet(self.dialogues, (*linked, *both, "--ops", ops)),
            "domain": BuildSet(self.dialogues, (*linked, "--domains", self.domain, "--ops", REFERRING)),
            TEST: BuildSet(self.test_dialogues, (*_WORLD, "--telling", "all", *both, "--ops", REFERRING)),
        }

    def plan(self, conductor: Conductor) -> Experiment:
        """The three arms, of equally many dialogues."""
        most = self.dialogues * self.percent // 100
        even = self.place("even")
        skewed = {"operator": f"{self.percent} % {self.operator}", "domain": f"{self.percent} % {self.domain}"}
        return Experiment(
            title="Balance in the controlled world",
            arms=[
                Arm("even", "even", [even], [self.dialogues]),
                *(
                    Arm(name, label, [even, self.place(name)], [self.dialogues - most, most])
                    for name, label in skewed.items()
                ),
            ],
            against="even",
            notes=[
                f"Every arm trains on {self.dialogues:,} linked dialogues of six questions; the test is even.",
                "The base model was made to read shapes alone, so numerals are new to it.",
                EXACT,
                "What may be said: what this model loses, by operator and domain. What may not: anything about topics "
                "of natural dialogues.",
            ],
        )


if __name__ == "__main__":
    sys.exit(main(ExactBalance))
