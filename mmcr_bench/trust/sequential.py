"""Compare two models with a judge that is asked no longer than needed, with the error rate of the whole comparison.

A group-sequential design: the test is that of `compare`, Student's t over topics, looked at up to five times at the
levels of `nominal_levels`. `python -m benchmarks.bench_sequential` measures false verdicts, power and what is saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmcr_bench.intervals import MIN_CLUSTERS
from mmcr_bench.judge.judgement import Judge
from mmcr_bench.trust.alpha_spending import nominal_levels
from mmcr_bench.trust.runs import Run
from mmcr_bench.trust.sequential_looks import MIN_EARLY, Look, LookRecord, difference_at_look, plan_looks
from mmcr_dataset.record.dialogue import Dialogue

ALPHA = 0.05

Replies = tuple[str, ...]
Pair = tuple[float | None, float | None]  # overall scores of A and B, None where a verdict is missing


@dataclass(frozen=True, slots=True)
class SequentialResult:
    """Result of a sequential comparison.

    Attributes:
        name_a: run A.
        name_b: run B.
        num_dialogues: dialogues that both runs have answered.
        num_topics: their topics.
        num_asked: dialogues judged, of each run.
        planned: number of dialogues at each look.
        looks: the looks taken.
        lost_apart: dialogues with a verdict in one run only; then there is no further look.
        lost_in_both: dialogues without a verdict in both runs, which count as equal.
        num_unanswered: dialogues that neither run answered.
    """

    name_a: str
    name_b: str
    num_dialogues: int
    num_topics: int
    num_asked: int
    planned: tuple[int, ...]
    looks: tuple[Look, ...]
    lost_apart: int = 0
    lost_in_both: int = 0
    num_unanswered: int = 0

    @property
    def better(self) -> str | None:
        """The better run, None without a verdict."""
        if not self.looks or not self.looks[-1].is_clear:
            return None
        return self.name_b if self.looks[-1].difference > 0 else self.name_a

    def show(self) -> str:
        """Verdict, evidence, what was saved, and what was left out."""
        lines = [f"{self.better} is better" if self.better else "no verdict"]
        if self.looks:
            last = self.looks[-1]
            lines[0] += (
                f": overall {last.difference:+.2f} of 10 ({self.name_b} minus {self.name_a}) over {self.num_topics} "
                f"topics, p {last.p_value:.2g} at look {last.number} of {len(self.planned)} (needed: below "
                f"{last.level:.2g}; at most {ALPHA:.0%} false verdicts over all looks, more where differences are "
                "skewed, as in `compare`)"
            )
        saved = self.num_dialogues - self.num_asked
        lines.append(
            f"asked for {2 * self.num_asked} of {2 * self.num_dialogues} judgements, {2 * saved} saved "
            f"({saved / self.num_dialogues:.0%}); looks at {', '.join(map(str, self.planned))} dialogues of each run"
        )
        if len(self.planned) == 1:
            lines.append(
                f"No early look: it needs {MIN_EARLY} dialogues of each run, from every topic (or from {MIN_EARLY})."
            )
        elif saved:
            lines.append("The difference at an early stop is too large on average; judge everything for a number.")
        if self.lost_apart:
            lines.append(
                f"left out: {self.lost_apart} dialogues with a verdict in one run only. The runs have lost different "
                "samples, so there is no look and no verdict; run it again (failed requests are asked again), or name "
                "a judge with ?repeats=3 where its verdicts can't be read"
            )
        if self.lost_in_both or self.num_unanswered:
            lines.append(
                f"{self.lost_in_both} dialogues without a verdict in both runs count as equal; "
                f"{self.num_unanswered} that neither run answered are left out"
            )
        return "\n".join(lines)


def compare_sequentially(
    run_a: Run, run_b: Run, judge: Judge, seed: int = 0, record: Path | None = None
) -> SequentialResult:
    """Judge part by part until the verdict is clear or nothing is left.

    Args:
        run_a: run A.
        run_b: run B.
        judge: the judge.
        seed: seed of the order of dialogues.
        record: JSON Lines file of the looks taken; a look in it is not taken again.

    Raises:
        ValueError: the runs answered different dialogues or were asked different questions, fewer than MIN_CLUSTERS
            topics (dialogues, where there are no topics), a judge without an overall score, or other looks recorded.
    """
    _check_runs(run_a, run_b, judge)
    of_a, of_b = _by_id(run_a), _by_id(run_b)
    topic_of = {id_: dialogue.topic or id_ for id_, (dialogue, _) in of_a.items()}
    parts = plan_looks(topic_of, seed)
    ends = tuple(sum(map(len, parts[: number + 1])) for number in range(len(parts)))
    levels = nominal_levels([end / ends[-1] for end in ends], ALPHA)
    book = LookRecord(record, run_a, run_b, judge, seed)
    looks = book.read()
    asked, scores = list[str](), list[Pair]()
    is_over = bool(looks) and (looks[-1].is_clear or len(looks) == len(parts))
    for number, part in enumerate([] if is_over else parts, start=1):
        scores += _judge_part(judge, [of_a[id_] for id_ in part], [of_b[id_] for id_ in part])
        asked += part
        if all(pair == (None, None) for pair in scores):
            raise ValueError(
                f"judge {judge.name} gave no verdict on {2 * len(asked)} dialogues; is its endpoint right?"
            )
        if any((a is None) != (b is None) for a, b in scores):
            break
        if number > len(looks):
            differences = [0.0 if a is None or b is None else b - a for a, b in scores]
            found = difference_at_look(differences, [topic_of[id_] for id_ in asked], number < len(parts))
            looks.append(Look(number, len(asked), *found, levels[number - 1]))
            book.add(looks[-1])
        if looks[-1].is_clear:
            break
    return SequentialResult(
        run_a.name,
        run_b.name,
        num_dialogues=ends[-1],
        num_topics=len(set(topic_of.values())),
        num_asked=looks[-1].num_judged if is_over else len(asked),
        planned=ends,
        looks=tuple(looks),
        lost_apart=sum((a is None) != (b is None) for a, b in scores),
        lost_in_both=scores.count((None, None)),
        num_unanswered=run_a.num_failed,
    )


def _check_runs(run_a: Run, run_b: Run, judge: Judge) -> None:
    if "overall" not in judge.names:
        raise ValueError(f"judge {judge.name} gives no overall score; name an api: judge")
    of_a, of_b = _by_id(run_a), _by_id(run_b)
    alone = sorted(of_a.keys() ^ of_b.keys())
    if alone:
        raise ValueError(
            f"{run_a.name} and {run_b.name}: {len(alone)} dialogues are answered by one run only, {alone[0]!r} for "
            "example, so there could be no verdict; evaluate again with the same --output_dir (only they are asked)"
        )
    num_topics = len({dialogue.topic or id_ for id_, (dialogue, _) in of_a.items()})
    if num_topics < MIN_CLUSTERS:
        raise ValueError(
            f"{run_a.name} and {run_b.name} share {num_topics} topics, expected at least {MIN_CLUSTERS}; compare "
            "without --sequential"
        )
    changed = [id_ for id_ in of_a if of_a[id_][0].turns != of_b[id_][0].turns]
    if changed:
        raise ValueError(f"{run_a.name} and {run_b.name}: {len(changed)} dialogues differ, {changed[0]!r} for example")


def _by_id(run: Run) -> Mapping[str, tuple[Dialogue, Replies]]:
    return {dialogue.id: (dialogue, given) for dialogue, given in zip(run.dialogues, run.replies, strict=True)}


def _judge_part(
    judge: Judge, of_a: Sequence[tuple[Dialogue, Replies]], of_b: Sequence[tuple[Dialogue, Replies]]
) -> list[Pair]:
    """Overall scores of A and B by dialogue, None where a verdict is missing; both are asked at once."""
    asked = [*of_a, *of_b]
    found = judge.score([dialogue for dialogue, _ in asked], [given for _, given in asked])
    overall = [None if one.scores is None else one.scores.get("overall") for one in found]
    return list(zip(overall[: len(of_a)], overall[len(of_a) :], strict=True))
