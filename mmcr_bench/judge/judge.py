"""Judges: a model's replies to a dialogue -> scores. `open_judge` opens one from its spec.

`offline` is the word F1 with the references, without a model; it is for demos and tests. Its only score is
`reference_overlap`, which isn't comparable with rubric scores.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmcr_bench.judge.judge_spec import read_judge_specs
from mmcr_bench.judge.judgement import OVERLAP, Judge, Judgement, check_replies
from mmcr_bench.judge.spending import current_spending
from mmcr_dataset.record.dialogue import Dialogue

DEFAULT_LEDGER = Path("judge_ledger.sqlite3")


def open_judge(spec: str, ledger_path: Path | None = None) -> Judge:
    """The judge that a spec names.

    Args:
        spec: `offline`, `api:URL#MODEL`, or several of these for a panel.
        ledger_path: SQLite file that stores paid judgements; None is `judge_ledger.sqlite3` in the current folder.

    Raises:
        ValueError: the spec names no judge, or one of unknown price (`Spending.check`).
    """
    specs = read_judge_specs(spec)
    if not specs:
        return OfflineJudge()
    from mmcr_bench.judge.api_judge import ApiJudge
    from mmcr_bench.judge.panel import PanelJudge

    path = ledger_path or DEFAULT_LEDGER
    for one in specs:
        current_spending().check(one.endpoint())
    judges = [ApiJudge(one.endpoint(), path, one) for one in specs]
    return judges[0] if len(judges) == 1 and specs[0].repeats == 1 else PanelJudge(judges)


def show_cost(judge: Judge, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]], times: int = 1) -> str:
    """A line with the estimated cost of judging; empty for the offline judge.

    Args:
        judge: the judge.
        dialogues: what is judged.
        replies: one list per dialogue, one reply per turn.
        times: multiplier of the number of dialogues.
    """
    if judge.is_offline:
        return ""
    usd = judge.estimate_usd(dialogues, replies)
    cost = f"about {times * usd:.2f} USD" if usd is not None else "price unknown"
    return f"{cost} for {times * len(dialogues)} dialogues judged by {judge.name}, less what its ledger holds"


def word_f1(reply: str, reference: str) -> float:
    """Harmonic mean of precision and recall over lower-case words, as multisets, 0..1.

    Source: the token F1 of SQuAD (arXiv 1606.05250, section 6.1), articles kept.
    """
    said, expected = (Counter(re.findall(r"\w+", text.lower())) for text in (reply, reference))
    shared = (said & expected).total()
    return 2 * shared / (said.total() + expected.total()) if shared else 0.0


class OfflineJudge:
    """Word F1 of each reply with its reference, mean over the turns, 0..100."""

    def __init__(self) -> None:
        self.name = "offline"
        self.is_offline = True
        self.names: tuple[str, ...] = (OVERLAP,)

    def describe(self) -> dict[str, object]:
        """Name and definition of the score."""
        return {"judge": self.name, "is_offline": True, "score": "word F1 of reply and reference, mean over turns"}

    def estimate_usd(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> float | None:
        """Zero: no request is made."""
        return 0.0

    def score(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> list[Judgement]:
        """One `reference_overlap` per dialogue."""
        check_replies(dialogues, replies)
        judgements = []
        for dialogue, given in zip(dialogues, replies, strict=True):
            overlaps = [word_f1(reply, turn.assistant) for reply, turn in zip(given, dialogue.turns, strict=True)]
            mean = 100 * sum(overlaps) / len(overlaps)
            judgements.append(Judgement({OVERLAP: mean}, detail={"overlap_per_turn": overlaps}))
        return judgements
