"""Dialogues whose turns a chat model judges one by one, each beside the dialogue so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from eval_tasks.readers.judged_answer import fence_reply, judged_task
from eval_tasks.readers.turn_points import points_by_turn, to_points, turn_totals
from eval_tasks.task import Points, Sample, Scored, Task, Total

_MAX_TOKENS = 1024  # of a verdict
Verdicts = Mapping[int, str] | None  # turn from 0 -> what the judge said


@dataclass(frozen=True)
class JudgedTurns:
    """How turns are judged.

    Attributes:
        metric: name of the mean over the turns.
        highest: the most points of a turn; totals are up to 100.
        prompt: (sample, turn from 0, the dialogue before it, the fenced reply) -> the judge's prompt.
        read_turn: (sample, turn from 0, verdict) -> points, None where it can't be read.
        digits: of the points, where they are displayed.
    """

    metric: str
    highest: float
    prompt: Callable[[Sample, int, str, str], str]
    read_turn: Callable[[Sample, int, str], float | None]
    digits: int = 0

    def to_judge(self, sample: Sample, replies: Sequence[str], rules: str) -> list[str]:
        """The judge's prompts, one for each turn."""
        prompts, told = [], ""
        for number, (turn, reply) in enumerate(zip(sample.dialogue.turns, replies, strict=True)):
            prompts.append(self.prompt(sample, number, told, fence_reply(reply)))
            told += f"Person: {turn.human_text}\nAssistant: {fence_reply(reply)}\n\n"
        return prompts

    def _points(self, sample: Sample, verdict: Verdicts) -> dict[int, float | None]:
        return {turn: self.read_turn(sample, turn, said) for turn, said in (verdict or {}).items()}

    def score(self, sample: Sample, replies: Sequence[str], rules: str, verdict: Verdicts) -> Points:
        """The points of each turn. Args: see `Task.score`."""
        return to_points(self.metric, self._points(sample, verdict), len(sample.dialogue.turns))

    def read(self, sample: Sample, replies: Sequence[str], rules: str, verdict: Verdicts) -> str | None:
        """The points of each judged turn, for display. Args: see `Task.score`."""
        found = {turn: one for turn, one in self._points(sample, verdict).items() if one is not None}
        return ", ".join(f"turn {turn + 1}: {one:.{self.digits}f}" for turn, one in found.items()) or None

    def totals(self, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
        """The mean over all turns, up to 100, and by turn."""
        return turn_totals(scored, self.metric, self.highest)

    def by_turn(self, one: Scored) -> list[float | None]:
        """The points of each turn, up to 100."""
        return points_by_turn(one, self.highest)

    def task(self, name: str, source: str, samples: Callable[[str | None, str], Iterable[Sample]]) -> Task:
        """The task, judged by our prompt. Args: see `Task`."""
        more = {
            "verdict_keys": (),
            "by_turn": self.by_turn,
            "max_judge_tokens": _MAX_TOKENS,
            "rules": ("mmcr@2026-11",),
        }
        return judged_task(name, source, samples, self.score, self.totals, self.to_judge, self.read, **more)
