"""MMCR-Bench: 600 dialogues of four or eight turns about one to four images, scored by a judge.

Source: a folder in the MMCR row form (`python -m mmcr_bench build`), or its Hub id
Licence: of the folder's card · Rows: 400 with one image, 200 with several
Metric: the judge's five dimensions and overall, x 10 · Paper: arXiv 2503.18533, section 3.3
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eval_tasks.task import Points, Sample, Scored, Task, Total, Unit
from eval_tasks.totals import mean_total, totals_by_subject
from mmcr_bench.judge.judgement import Judgement
from mmcr_bench.judge.rubric import NAMES
from mmcr_dataset.record.load import load_dialogues

HIGHEST = 100.0  # points of a sample


def samples(data: str | None, rules: str) -> Iterator[Sample]:
    """Dialogues of the bench; a group is a topic."""
    for dialogue in load_dialogues(data or "mmcr-bench", split=None):
        yield Sample(dialogue, {"domain": dialogue.domain}, group=dialogue.topic or dialogue.id)


def score(sample: Sample, replies: Sequence[str], rules: str, verdict: Judgement) -> Points:
    """The judge's scores on the reported scale, up to 100. Args: see `Task.score`."""
    return verdict.points or {}


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """The mean of each of the judge's scores, the overall score first, which is also told by domain and topic."""
    metrics = dict.fromkeys(metric for one in scored for metric in one.points) or dict.fromkeys(NAMES)
    ordered = sorted(metrics, key=lambda metric: metric != "overall")
    found = {metric: mean_total(scored, metric, 1.0, HIGHEST) for metric in ordered}
    if set(NAMES) <= set(metrics):
        found["mean of six"] = Total([_mean_unit(one) for one in scored], {"": 1.0}, HIGHEST)
    return found | totals_by_subject(scored, ordered[0], 1.0, HIGHEST)


def _mean_unit(one: Scored) -> Unit:
    """The mean of the judge's six scores, as the paper averages their gains (4.1, 3.1, 3.2)."""
    points = 0.0 if one.is_lost else sum(one.points.get(name) or 0.0 for name in NAMES) / len(NAMES)
    return Unit(one.sample.group, points, is_lost=one.is_lost)


def read(sample: Sample, replies: Sequence[str], rules: str, verdict: Judgement) -> str:
    """The judge's raw scores, up to 10, or the overlap. Args: see `Task.score`."""
    return ", ".join(f"{name} {score:g}" for name, score in (verdict.scores or {}).items())


def by_turn(one: Scored) -> list[float | None]:
    """The overlap of each turn by the offline judge; a judge model scores the dialogue as a whole."""
    return [100.0 * overlap for overlap in one.judged.get("overlap_per_turn", ())]


TASK = Task(
    "mmcr_bench",
    (__doc__ or "").strip(),
    samples,
    score,
    totals,
    judge="bench",
    read=read,
    by_turn=by_turn,
    rules=("mmcr@2025-03",),
)
