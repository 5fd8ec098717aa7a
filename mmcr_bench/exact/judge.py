"""A judge on truth: does it score right answers of the controlled world above wrong ones? AUC, length, operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from mmcr_bench.exact.judge_items import RIGHT, WRONG, JudgeItem
from mmcr_bench.judge.detection import Mean, Share, auc, corrected_share, mean_of
from mmcr_bench.judge.judgement import Judge
from mmcr_dataset.publish.markdown_table import to_table
from mmcr_dataset.record.plain_text import figure_text

PASS = 7.0  # overall score from which the judge's verdict counts as "right", for sensitivity and specificity
_MIN_OPERATOR = 5  # dialogues of an operator that is shown


@dataclass(frozen=True)
class Truth:
    """What a judge made of replies of known truth.

    Attributes:
        judge: its name.
        scores: (item, overall score) of the readable verdicts.
        unread: number of verdicts by the reason why they could not be read.
    """

    judge: str
    scores: tuple[tuple[JudgeItem, float], ...]
    unread: dict[str, int]


def judge_items(judge: Judge, items: Sequence[JudgeItem]) -> Truth:
    """Score the items.

    Raises:
        ValueError: the judge is the offline one, there are no items, or no verdict could be read.
    """
    if judge.is_offline:
        raise ValueError("the offline judge has no rubric; name a judge at an endpoint (api:URL#MODEL)")
    if not items:
        raise ValueError("no linked dialogues to judge; build a set with --telling all")
    judgements = judge.score([item.dialogue for item in items], [item.replies for item in items])
    unread: dict[str, int] = {}
    scores = []
    for item, judgement in zip(items, judgements, strict=True):
        if judgement.scores is None:
            reason = judgement.reason or "no_verdict"
            unread[reason] = unread.get(reason, 0) + 1
        else:
            scores.append((item, judgement.scores["overall"]))
    if not scores:
        raise ValueError(f"{judge.name}: all {len(items)} verdicts are unread ({unread}); nothing can be said")
    return Truth(judge.name, tuple(scores), unread)


def by_dialogue(truth: Truth, kinds: Sequence[str]) -> dict[str, list[float]]:
    """Scores of these kinds by dialogue id."""
    found: dict[str, list[float]] = {}
    for item, score in truth.scores:
        if item.kind in kinds:
            found.setdefault(item.dialogue.id, []).append(score)
    return found


def auc_of(truth: Truth, right: Sequence[str], wrong: Sequence[str]) -> Mean | None:
    """AUC of kinds of right against kinds of wrong replies; None without either."""
    rights, wrongs = by_dialogue(truth, right), by_dialogue(truth, wrong)
    if not rights or not wrongs:
        return None
    ids = sorted(rights.keys() | wrongs.keys())
    return auc([rights.get(id_, []) for id_ in ids], [wrongs.get(id_, []) for id_ in ids])


def detected(truth: Truth, wrong: Sequence[str], op: str | None = None) -> Mean | None:
    """Share of wrong replies scored below the true ones to the same dialogue, ties half."""
    true = by_dialogue(truth, ["true"])
    found: dict[str, list[float]] = {}
    for item, score in truth.scores:
        if item.kind in wrong and item.dialogue.id in true and op in (None, item.op):
            gap = true[item.dialogue.id][0] - score
            found.setdefault(item.dialogue.id, []).append(float(gap > 0) + float(gap == 0) / 2)
    return mean_of([fmean(values) for values in found.values()]) if found else None


def length_bias(truth: Truth) -> Mean | None:
    """What long words add to the score of right replies."""
    true, long = by_dialogue(truth, ["true"]), by_dialogue(truth, ["long"])
    shared = sorted(true.keys() & long.keys())
    return mean_of([long[id_][0] - true[id_][0] for id_ in shared]) if shared else None


def error_rates(truth: Truth) -> tuple[Share, Share]:
    """Sensitivity (right replies that pass) and specificity (wrong replies that fail) at `PASS`."""
    right = [score >= PASS for item, score in truth.scores if item.kind in RIGHT]
    wrong = [score < PASS for item, score in truth.scores if item.kind in WRONG]
    return Share(sum(right), len(right)), Share(sum(wrong), len(wrong))


def show_truth(truth: Truth, passed: Share | None = None) -> str:
    """The tables.

    Args:
        truth: the judge's scores.
        passed: replies of a model's run that this judge passes; their corrected share is shown too.
    """
    whole = auc_of(truth, RIGHT, WRONG)
    lines = [f"judge {truth.judge}: AUC {_cell(whole)} of right against wrong replies (0.5: it sees no truth)", ""]
    rows = []
    for kind in (*RIGHT, *WRONG):
        scores = by_dialogue(truth, [kind])
        num = sum(map(len, scores.values()))
        mean = f"{fmean(score for given in scores.values() for score in given):.2f}" if num else "-"
        against = [auc_of(truth, ["true"], [kind]), detected(truth, [kind])] if kind in WRONG else [None, None]
        rows.append([kind, num, mean, *map(_cell, against)])
    lines.append(to_table(["replies", "judged", "mean overall", "AUC", "scored below the true ones"], rows))
    bias = length_bias(truth)
    if bias is not None:
        ends = bias.interval()
        lines.append(f"\nlong words add {bias.value:+.2f} [{ends.low:+.2f}, {ends.high:+.2f}] to right replies")
    lines += ["", _operators(truth), "", _rates(truth, passed)]
    unread = ", ".join(f"{reason} {count}" for reason, count in sorted(truth.unread.items())) or "none"
    return "\n".join([*lines, f"unread verdicts, left out: {unread}"])


def _operators(truth: Truth) -> str:
    rows = []
    for op in sorted({item.op for item, _ in truth.scores if item.kind in WRONG}):
        found = detected(truth, WRONG, op)
        if found is not None and found.num_clusters >= _MIN_OPERATOR:
            rows.append([op, found.num_clusters, _cell(found)])
    return to_table(["operator of the error", "dialogues", "scored below the true ones"], rows)


def _rates(truth: Truth, passed: Share | None) -> str:
    """Sensitivity, specificity and the corrected share."""
    sensitivity, specificity = error_rates(truth)
    text = f"overall {PASS:g} or more as `right`: sensitivity {_of(sensitivity)}, specificity {_of(specificity)}"
    if passed is None or not sensitivity.total or not specificity.total:
        return text
    found = corrected_share(passed, sensitivity, specificity)
    if found is None:
        return f"{text}\nthe judge passes wrong replies as often as right ones: the run's share can't be corrected"
    return f"{text}\nrun: {_of(passed)} pass; corrected {found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _of(share: Share) -> str:
    return f"{share.count / share.total:.2f} ({share.count} of {share.total})" if share.total else "-"


def _cell(mean: Mean | None) -> str:
    if mean is None:
        return "-"
    ends = mean.interval(0.0, 1.0)
    return f"{mean.value:.2f} [{ends.low:.2f}, {ends.high:.2f}]"


def draw_truth(truth: Truth, out: Path) -> None:
    """Write the figure: the scores of each kind of reply, as shares of each score.

    Args:
        truth: the judge's scores.
        out: .png, .svg or .pdf file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for kind in (*RIGHT, *WRONG):
        scores = [score for given in by_dialogue(truth, [kind]).values() for score in given]
        if scores:
            heights = [sum(score >= value for score in scores) / len(scores) for value in range(1, 11)]
            axes.plot(range(1, 11), heights, marker="o", linestyle="-" if kind in RIGHT else "--", label=kind)
    axes.set(xlabel="overall score", ylabel="share of replies with at least this score", ylim=(-0.02, 1.02))
    axes.set_title(f"judge {figure_text(truth.judge)} on replies of known truth")
    axes.legend()
    figure.savefig(out, dpi=150)
