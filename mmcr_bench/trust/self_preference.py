"""Self-preference bias: do judges favour models of their own family?

For every pair of a model of the judge's family and one of another family, the bias is the judge's lead of the first
over the second, minus the lead that judges of neither family see on the same dialogues. A biased judge so never serves
as the measure of the models it is biased for. All leads are on one scale (latent_scale.py). The null distribution
flips the signs of the topics' contributions; Holm corrects for the number of judges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from mmcr_bench.intervals import Difference, holm
from mmcr_bench.judge.judgement import Judge
from mmcr_bench.trust.latent_scale import Leads, measure_leads
from mmcr_bench.trust.runs import Run
from mmcr_dataset.publish.markdown_table import to_table

SIGNIFICANT = 0.05
_Z_POWER = 0.842  # 80 %
_NUM_FLIPS = 4000
_MAX_EXACT = 12  # topics, up to which all flips are counted

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
        difference: own lead minus the lead by judges of neither family, in the judge's own points (0..100);
            `detectable` is the smallest preference found with 80 % power after the correction.
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
        num_left_out: dialogues that a judge or model lacks.
        is_scaled: whether the judges' noise could be told apart; else their leads are compared as they are.
    """

    means: Mapping[Member, Mapping[Member, float]]
    biases: tuple[Bias, ...]
    skipped: Mapping[str, str]
    num_unread: int
    num_left_out: int = 0
    is_scaled: bool = True


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
    if not any(given for by_model in scores.values() for given in by_model.values()):
        raise ValueError(f"all {num_unread} verdicts are unread; nothing can be compared (see `canaries`)")
    shared = sorted(set.intersection(*(set(given) for by_model in scores.values() for given in by_model.values())))
    if not shared:
        raise ValueError("no dialogue was scored by all judges for all models; were the runs made on the same bench?")
    first = next(iter(runs.values()))
    topics = {dialogue.id: dialogue.topic or dialogue.id for dialogue in first.dialogues}
    means = {
        judge: {model: fmean(given[id_] for id_ in shared) for model, given in by_model.items()}
        for judge, by_model in scores.items()
    }
    biases, skipped, is_scaled = _measure(scores, shared, [topics[id_] for id_ in shared])
    num_left_out = len(set.union(*({d.id for d in run.dialogues} for run in runs.values()))) - len(shared)
    return Study(means, biases, skipped, num_unread, num_left_out, is_scaled)


def _measure(
    scores: Mapping[Member, Mapping[Member, ByDialogue]], ids: Sequence[str], topics: Sequence[str]
) -> tuple[tuple[Bias, ...], dict[str, str], bool]:
    judges, models = list(scores), list(next(iter(scores.values())))
    table = np.array([[[scores[judge][model][id_] for id_ in ids] for model in models] for judge in judges])
    leads = measure_leads(table, np.unique(np.array(topics), return_inverse=True)[1].reshape(-1))
    found: dict[Member, NDArray[np.float64]] = {}
    skipped: dict[str, str] = {}
    for judge in judges:
        own = [model for model in models if model.family == judge.family]
        if not own or len(own) == len(models):
            skipped[judge.name] = f"{len(own)} of {len(models)} models are of its family {judge.family}"
            continue
        estimates = _estimates(judge, judges, models, leads)
        if estimates is None:
            skipped[judge.name] = "no judge of neither family to compare with: add one of a third family"
        else:
            found[judge] = estimates
    differences = {judge: _to_difference(estimates, len(found)) for judge, estimates in found.items()}
    corrected = holm({judge.name: difference.p_value for judge, difference in differences.items()})
    biases = tuple(Bias(judge, len(ids), given, corrected[judge.name]) for judge, given in differences.items())
    return biases, skipped, leads.is_scaled


def _estimates(
    judge: Member, judges: Sequence[Member], models: Sequence[Member], leads: Leads
) -> NDArray[np.float64] | None:
    """The bias in the judge's points from all topics, then without each topic [R]; None without neutral judges."""
    place = judges.index(judge)
    reliability = leads.reliability
    parts = []
    for own, other in product(range(len(models)), repeat=2):
        if models[own].family != judge.family or models[other].family == judge.family:
            continue
        involved = (judge.family, models[other].family)
        neutral = [k for k, one in enumerate(judges) if one.family not in involved]
        if neutral:
            seen = sum(leads.d[:, k, own, other] / reliability[:, k] for k in neutral) / len(neutral)
            parts.append(leads.d[:, place, own, other] - reliability[:, place] * seen)
    if not parts:
        return None
    return np.asarray(sum(parts) / len(parts) * leads.spread[place])


def _to_difference(estimates_R: NDArray[np.float64], num_tests: int) -> Difference:
    """Interval and sign-flip test from the jackknife over topics."""
    from scipy.special import stdtrit

    mean, num = float(estimates_R[0]), len(estimates_R) - 1
    if num < 2:
        return Difference(mean, -np.inf, np.inf, significant=False, p_value=1.0, detectable=np.inf)
    parts_T = num * mean - (num - 1) * estimates_R[1:]
    error = float(parts_T.std(ddof=1) / np.sqrt(num))
    half = float(stdtrit(num - 1, 0.975)) * error
    p_value = _flip_test(parts_T)
    detectable = (float(stdtrit(num - 1, 1 - SIGNIFICANT / 2 / num_tests)) + _Z_POWER) * error
    return Difference(mean, mean - half, mean + half, p_value < SIGNIFICANT, p_value, detectable)


def _flip_test(parts_T: NDArray[np.float64]) -> float:
    """Two-sided p-value: how often the mean is as far from 0 with random signs (with all, for few topics)."""
    num = len(parts_T)
    if num <= _MAX_EXACT:
        signs = np.array(list(product((-1.0, 1.0), repeat=num)))
        return float((np.abs(signs @ parts_T) >= abs(parts_T.sum()) - 1e-9).mean())
    signs = np.random.default_rng(0).choice((-1.0, 1.0), size=(_NUM_FLIPS, num))
    return float((1 + (np.abs(signs @ parts_T) >= abs(parts_T.sum()) - 1e-9).sum()) / (_NUM_FLIPS + 1))


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
        shown = f"{d.detectable:.1f}"
        rows.append([label(bias.judge), bias.num_dialogues, interval, f"{bias.corrected_p:.3f}", verdict, shown])
    lines = [to_table(["judge \\ model", *map(label, models)], given), ""]
    lines.append(to_table(["judge", "dialogues", "favours its own family by", "p (Holm)", "", "detectable"], rows))
    lines += [f"\n{name}: no number, {why}" for name, why in study.skipped.items()]
    if generator is not None:
        lines.append(f"\n* family {generator} wrote the references")
    if not study.is_scaled:
        lines.append("\nthe judges hardly agree on dialogues: leads are compared without a correction for their noise")
    left_out = f"{study.num_left_out} dialogues left out, which a judge or a model lacks"
    return "\n".join([*lines, f"\n{study.num_unread} judgements without a readable verdict; {left_out}"])
