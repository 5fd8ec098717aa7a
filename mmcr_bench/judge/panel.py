"""A panel of judges, or repeated judgements of one judge: mean score and standard deviation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev

from mmcr_bench.judge.api_judge import ApiJudge
from mmcr_bench.judge.judgement import Judgement
from mmcr_bench.judge.rubric import NAMES
from mmcr_dataset.endpoint.ask_all import ask_all
from mmcr_dataset.record.dialogue import Dialogue


class PanelJudge:
    """The mean over judges of each judge's mean over its repeats.

    A dialogue has no score if one of the judges returned no readable verdict for it: a mean over fewer judges would not
    be comparable.
    """

    def __init__(self, judges: Sequence[ApiJudge]) -> None:
        self.judges = judges
        for judge in judges:
            judge.share = 1 / len(judges)
        self.name = " + ".join(f"{judge.spec.repeats} x {judge.name}" for judge in judges)
        self.is_offline = False
        self.names = NAMES

    def unmasked(self) -> PanelJudge:
        """See `ApiJudge.unmasked`."""
        return PanelJudge([judge.unmasked() for judge in self.judges])

    def describe(self) -> dict[str, object]:
        """Settings of every judge."""
        return {"judge": self.name, "is_offline": False, "panel": [judge.describe() for judge in self.judges]}

    def estimate_usd(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> float | None:
        """Estimated cost over all judges and repeats; None if a price is unknown."""
        costs = [judge.estimate_usd(dialogues, replies) for judge in self.judges]
        return sum(known) if len(known := [cost for cost in costs if cost is not None]) == len(costs) else None

    def score(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> list[Judgement]:
        """One judgement per dialogue, with the members' in its detail. The judges run concurrently."""
        given = asyncio.run(self._judge_all(dialogues, replies))
        return [
            self._combine([[judgements[place] for judgements in repeats] for repeats in given])
            for place in range(len(dialogues))
        ]

    async def _judge_all(
        self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]
    ) -> list[list[list[Judgement]]]:
        """Judgements by judge, repeat and dialogue; if one judge fails, no further requests are sent."""
        ended = asyncio.Event()
        asks = (judge.judge_all(dialogues, replies, ended) for judge in self.judges)
        return await ask_all(asks, len(self.judges), ended)

    def _combine(self, given: Sequence[Sequence[Judgement]]) -> Judgement:
        members = [
            {"judge": judge.name, "scores": j.scores, "reason": j.reason, **j.detail}
            for judge, judgements in zip(self.judges, given, strict=True)
            for j in judgements
        ]
        means: list[Mapping[str, float]] = []
        for judge, judgements in zip(self.judges, given, strict=True):
            read = [judgement.scores for judgement in judgements if judgement.scores is not None]
            if not read:
                reason = f"unread_by_{judge.name}"
                return Judgement(None, reason, {"members": members})
            means.append({name: fmean(scores[name] for scores in read) for name in NAMES})
        scores = {name: fmean(mean[name] for mean in means) for name in NAMES}
        every = [judgement.scores for judgements in given for judgement in judgements if judgement.scores is not None]
        spread = {name: pstdev([one[name] for one in every]) for name in NAMES}
        return Judgement(scores, detail={"members": members, "spread": spread})
