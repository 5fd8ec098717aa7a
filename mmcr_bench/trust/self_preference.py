"""Self-preference bias: do judges favour models of their own family?

The bias of a judge is the lead it gives its own family's models over the others, minus the lead that judges of other
families give them on the same dialogues. True quality differences are the same for all judges and cancel out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from mmcr_bench.intervals import Difference, holm, paired_difference
from mmcr_bench.judge.judgement import Judge
from mmcr_bench.trust.runs import Run
from mmcr_dataset.publish.markdown_table import to_table

SIGNIFICANT = 0.05

ByDialogue = Mapping[str, float]  # a score by dialogue id


@dataclass(frozen=True, slots=True)
class Member:
    """A judge, or a model's run, with its model family."""

    family: str
    name: str


@dataclass(frozen=True, slots=True)
class Bias:
    """One judge's preference for its own family.

    Attributes:
        judge: the judge.
        num_dialogues: dialogues scored by all judges for all models.
        difference: own lead minus the lead by other families' judges, in points of the reported scale (0..100).
        corrected_p: p-value, Holm-corrected for the number of judges.
    """

    judge: Member
    num_dialogues: int
    difference: Difference
    corrected_p: float


@dataclass(frozen=True, slots=True)
class Study:
    """Result of the study.

    Attributes:
        means: mean overall score, 0..100, by judge and model.
        biases: of the judges with models of their own and of other families, and judges of other families.
        skipped: why the other judges have no estimate, by name.
        num_unread: number of judgements without a readable verdict.
    """

    means: Mapping[Member, Mapping[Member, float]]
    biases: tuple[Bias, ...]
    skipped: Mapping[str, str]
    num_unread: int


def study_self_preference(
    runs: Mapping[Member, Run], judges: Mapping[Member, Judge], dimension: str = "overall"
) -> Study:
    """Score every run with every judge, and estimate each judge's preference for its own family.

    Raises:
        ValueError: fewer than two judges or runs, an offline judge, or no dialogue that all judges scored for all runs.
    """
    if len(runs) < 2 or len(judges) < 2:
        raise ValueError(f"{len(runs)} runs and {len(judges)} judges; a comparison needs at least two of each")
    scores: dict[Member, dict[Member, ByDialogue]] = {}
    num_unread = 0
    for member, judge in judges.items():
        if judge.is_offline:
            raise ValueError("the offline judge has no family and no rubric; name judges at endpoints")
        scores[member] = {}
        for model, run in runs.items():
            judgements = judge.score(run.dialogues, run.replies)
            num_unread += sum(judgement.points is None for judgement in judgements)
            pairs = zip(run.dialogues, judgements, strict=True)
            scores[member][model] = {d.id: j.points[dimension] for d, j in pairs if j.points is not None}
    shared = sorted(set.intersection(*(set(given) for by_model in scores.values() for given in by_model.values())))
    if not shared:
        raise ValueError("no dialogue was scored by all judges for all models; were the runs made on the same bench?")
    first = next(iter(runs.values()))
    topics = {dialogue.id: dialogue.topic or dialogue.id for dialogue in first.dialogues}
    means = {
        judge: {model: fmean(given[id_] for id_ in shared) for model, given in by_model.items()}
        for judge, by_model in scores.items()
    }
    biases, skipped = _measure(scores, shared, [topics[id_] for id_ in shared])
    return Study(means, biases, skipped, num_unread)


def _measure(
    scores: Mapping[Member, Mapping[Member, ByDialogue]], ids: Sequence[str], topics: Sequence[str]
) -> tuple[tuple[Bias, ...], dict[str, str]]:
    found: dict[Member, Difference] = {}
    skipped: dict[str, str] = {}
    for judge, by_model in scores.items():
        others = [given for other, given in scores.items() if other.family != judge.family]
        own = [model for model in by_model if model.family == judge.family]
        if not own or len(own) == len(by_model):
            skipped[judge.name] = f"{len(own)} of {len(by_model)} models are of its family {judge.family}"
            continue
        if not others:
            skipped[judge.name] = "no judge of another family to compare with"
            continue
        lead = _leads(by_model, judge.family, ids)
        usual = [fmean(values) for values in zip(*(_leads(o, judge.family, ids) for o in others), strict=True)]
        found[judge] = paired_difference(lead, usual, topics)
    corrected = holm({judge.name: difference.p_value for judge, difference in found.items()})
    biases = tuple(Bias(judge, len(ids), difference, corrected[judge.name]) for judge, difference in found.items())
    return biases, skipped


def _leads(by_model: Mapping[Member, ByDialogue], family: str, ids: Sequence[str]) -> list[float]:
    """For each dialogue: mean score of the family's models minus that of all others."""
    own = [given for model, given in by_model.items() if model.family == family]
    others = [given for model, given in by_model.items() if model.family != family]
    return [fmean(given[id_] for given in own) - fmean(given[id_] for given in others) for id_ in ids]


def show_study(study: Study, generator: str | None) -> str:
    """The scores and the biases as Markdown; the family that wrote the references is marked with a star."""

    def label(member: Member) -> str:
        return f"{member.name} ({member.family}{'*' if member.family == generator else ''})"

    models = list(next(iter(study.means.values())))
    given = [[label(judge), *(f"{means[model]:.1f}" for model in models)] for judge, means in study.means.items()]
    rows = []
    for bias in study.biases:
        d = bias.difference
        verdict = "significant" if bias.corrected_p < SIGNIFICANT else "not significant"
        interval = f"{d.mean:+.1f} [{d.low:.1f}, {d.high:.1f}]"
        rows.append([label(bias.judge), bias.num_dialogues, interval, f"{bias.corrected_p:.3f}", verdict])
    lines = [to_table(["judge \\ model", *map(label, models)], given), ""]
    lines.append(to_table(["judge", "dialogues", "favours its own family by", "p (Holm)", ""], rows))
    lines += [f"\n{name}: no number, {why}" for name, why in study.skipped.items()]
    if generator is not None:
        lines.append(f"\n* family {generator} wrote the references")
    return "\n".join([*lines, f"\n{study.num_unread} judgements without a readable verdict"])
