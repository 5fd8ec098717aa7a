"""The judge protocol, and the judgement of one dialogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from mmcr_bench.judge.rubric import REPORTED_FACTOR
from mmcr_dataset.record.dialogue import Dialogue

OVERLAP = "reference_overlap"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's verdict on one dialogue.

    Attributes:
        scores: by name; 1..10 for the rubric's dimensions, 0..100 for `reference_overlap`; None without a verdict.
        reason: short error code for counting if there is no verdict; None if there are scores.
        detail: provenance: the raw reply, model snapshot, date, token counts, explanation.
    """

    scores: dict[str, float] | None
    reason: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict)

    @property
    def points(self) -> dict[str, float] | None:
        """The scores on the reported scale, up to 100; None without a verdict."""
        if self.scores is None:
            return None
        return {name: score if name == OVERLAP else score * REPORTED_FACTOR for name, score in self.scores.items()}


class Judge(Protocol):
    """Scores dialogues.

    Attributes:
        name: `offline`, or the name of the judge model.
        is_offline: True without a judge model; such scores are not scores of the bench.
        names: names of the scores.
    """

    name: str
    is_offline: bool
    names: tuple[str, ...]

    def describe(self) -> dict[str, object]:
        """Settings that must be stored with a score for reproducibility."""
        ...

    def estimate_usd(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> float | None:
        """Estimated cost of judging with an empty ledger; None if a price is unknown."""
        ...

    def score(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> list[Judgement]:
        """One judgement per dialogue, in order.

        Raises:
            ValueError: not one list of replies per dialogue, or not one reply per turn.
        """
        ...


@runtime_checkable
class MaskingJudge(Protocol):
    """A judge that masks verdicts and orders in replies."""

    def unmasked(self) -> Judge:
        """The same judge without masks."""
        ...


def unmasked(judge: Judge) -> Judge:
    """The judge as it reads replies without masks; itself if it has none."""
    return judge.unmasked() if isinstance(judge, MaskingJudge) else judge


def check_replies(dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> None:
    """Check that there is one list of replies per dialogue and one reply per turn.

    Raises:
        ValueError: otherwise, naming the dialogue.
    """
    if len(dialogues) != len(replies):
        raise ValueError(f"{len(dialogues)} dialogues but {len(replies)} lists of replies; pass one list per dialogue")
    for dialogue, given in zip(dialogues, replies, strict=True):
        if isinstance(given, str) or len(given) != len(dialogue.turns):
            what = "a text" if isinstance(given, str) else f"{len(given)} replies"
            raise ValueError(
                f"dialogue {dialogue.id!r}: {what} for {len(dialogue.turns)} turns; pass a list with one reply per "
                "turn, an empty string where the model gave none"
            )
