"""What a judge is, and what it says about one dialogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mmcr_bench.judge.rubric import REPORTED_FACTOR
from mmcr_dataset.record.dialogue import Dialogue

OVERLAP = "reference_overlap"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge said about one dialogue.

    Attributes:
        scores: by name; 1..10 for the rubric's dimensions, 0..100 for `reference_overlap`; None if there is no verdict.
        reason: why there is none, a short name for counting; None if there are scores.
        detail: what the scores come from: the raw reply, model and snapshot, date, tokens, explanation.
    """

    scores: dict[str, float] | None
    reason: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict)

    @property
    def points(self) -> dict[str, float] | None:
        """The scores as they are reported, all of them up to 100; None if there are none."""
        if self.scores is None:
            return None
        return {name: score if name == OVERLAP else score * REPORTED_FACTOR for name, score in self.scores.items()}


class Judge(Protocol):
    """Scores dialogues.

    Attributes:
        name: `offline`, or the name of the model that judges.
        is_offline: True if no model judges; such scores are no scores of the bench.
        names: the scores it gives.
    """

    name: str
    is_offline: bool
    names: tuple[str, ...]

    def describe(self) -> dict[str, object]:
        """What must be stored with a score so that it can be made again."""
        ...

    def estimate_usd(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> float | None:
        """About what judging costs if nothing was paid before; None if a price isn't known."""
        ...

    def score(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> list[Judgement]:
        """One judgement a dialogue, in order.

        Raises:
            ValueError: not one list of replies a dialogue, or not one reply a turn.
        """
        ...


def check_replies(dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> None:
    """One list of replies a dialogue, one reply a turn.

    Raises:
        ValueError: otherwise, naming the dialogue.
    """
    if len(dialogues) != len(replies):
        raise ValueError(f"{len(dialogues)} dialogues but {len(replies)} lists of replies; pass one list a dialogue")
    for dialogue, given in zip(dialogues, replies, strict=True):
        if isinstance(given, str) or len(given) != len(dialogue.turns):
            what = "a text" if isinstance(given, str) else f"{len(given)} replies"
            raise ValueError(
                f"dialogue {dialogue.id!r}: {what} for {len(dialogue.turns)} turns; pass a list with one reply a turn, "
                "an empty text where the model said nothing"
            )
