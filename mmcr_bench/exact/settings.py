"""What a set of the controlled world is built from, checked before work starts."""

from __future__ import annotations

from dataclasses import dataclass, fields

from mmcr_bench.exact.operators import OPERATORS
from mmcr_bench.exact.scene import DOMAINS

MAX_IMAGES = 8
MAX_TURNS = 24
_CHOICES = {
    "style": ("rich", "plain"),
    "split": ("train", "test"),
    "telling": ("all", "linked", "resolved", "alone", "single", "captions", "places"),
    "guesses": ("all", "none"),
    "images_at": ("spread", "start", "both"),
    "images_show": ("scene", "other", "grey"),
}
SIDES = (2, 3)


@dataclass(frozen=True)
class ExactSettings:
    """Settings of a build.

    Attributes:
        num_dialogues: number of linked dialogues (of rows for captions and places).
        images: fewest and most images of a dialogue.
        turns: fewest and most turns.
        seed: seed of every draw.
        style: rich or plain.
        domains: names of the domains.
        sides: sides of the grids; charts have 3 or 4 bars for 2, and 5 or 6 for 3.
        split: train (no held-out scene, combination or wording) or test (held-out scenes only).
        telling: what becomes of each dialogue.
        guesses: all, or none: nothing is rejected because it can be guessed.
        images_at: spread (images come up in the first half of the turns), start (all at the first turn), or both.
        images_show: scene; or for probes, which must not beat the guess without images, other (scenes of other
            dialogues) or grey (nothing).
        ops: the operators that may be asked.
        num_wordings: use the first wordings of each operator only; None for all of the split.

    Raises:
        ValueError: a value is not one of those expected.
    """

    num_dialogues: int = 1000
    images: tuple[int, int] = (1, 4)
    turns: tuple[int, int] = (4, 8)
    seed: int = 0
    style: str = "rich"
    domains: tuple[str, ...] = tuple(DOMAINS)
    sides: tuple[int, ...] = (3,)
    split: str = "test"
    telling: str = "all"
    guesses: str = "all"
    images_at: str = "spread"
    images_show: str = "scene"
    ops: tuple[str, ...] = tuple(OPERATORS)
    num_wordings: int | None = None

    def __post_init__(self) -> None:
        for name, known in (
            *_CHOICES.items(),
            ("domains", tuple(DOMAINS)),
            ("ops", tuple(OPERATORS)),
            ("sides", SIDES),
        ):
            value = getattr(self, name)
            values = value if isinstance(value, tuple) else (value,)
            wrong = [one for one in values if one not in known]
            if wrong or not values:
                what = f"{wrong[0]!r}" if wrong else "nothing"
                raise ValueError(f"--{name} {what}: expected {', '.join(map(str, known))}")
        for name, most in (("images", MAX_IMAGES), ("turns", MAX_TURNS)):
            low, high = getattr(self, name)
            if not 1 <= low <= high <= most:
                raise ValueError(f"--{name} {low}-{high}: expected a range within 1-{most}")
        if self.num_dialogues < 1 or self.seed < 0:
            raise ValueError(f"--dialogues {self.num_dialogues} --seed {self.seed}: expected at least 1 and 0")
        if self.num_wordings is not None and self.num_wordings < 1:
            raise ValueError(f"--wordings {self.num_wordings}: expected at least 1")
        if not any(not OPERATORS[op].refers for op in self.ops):
            explicit = ", ".join(op for op, one in OPERATORS.items() if not one.refers)
            raise ValueError(f"--ops: every dialogue begins without a reference; add one of {explicit}")

    def to_json(self) -> dict[str, object]:
        """The settings by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def read_range(text: str, flag: str) -> tuple[int, int]:
    """`4-8` or `6` as fewest and most.

    Raises:
        ValueError: it is neither.
    """
    low, dash, high = text.partition("-")
    if not low.isdigit() or (dash and not high.isdigit()):
        raise ValueError(f"{flag} {text!r}: expected a number or a range, such as 4-8")
    return int(low), int(high or low)
