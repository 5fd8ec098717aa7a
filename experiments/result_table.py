"""An experiment's results as Markdown tables and as JSON: training data, scores, differences with verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eval_tasks.registry import GROUPS
from eval_tasks.report.paper import paper_scores
from eval_tasks.store.run_folder import finite
from experiments.arm import Experiment
from experiments.estimates import Estimate, difference, estimate
from experiments.scores import BASE, Measure, Scores
from mmcr_bench.intervals import LEVEL, holm
from mmcr_dataset.publish.markdown_table import to_table
from mmcr_dataset.stage.stages import write_text

Contrast = tuple[str, str]  # an arm and its baseline

SIGNIFICANT = "significant"
_OF_SEVERAL_SEEDS = (
    "Intervals (95 %) cover the questions (cluster bootstrap) and the seeds; differences are paired by "
    "question{paired}."
)
_OF_ONE_SEED = (
    "Intervals (95 %) cover the questions alone (cluster bootstrap): with one seed the variance between trainings of "
    "an arm is unknown; use --seeds 0 1 2."
)
_VERDICTS = "Significance is corrected for multiple comparisons within a line (Holm, 5 %)."
_TINY = "A tiny model with random weights: the numbers only show that the experiment runs."


def contrasts_of(experiment: Experiment, arms: Sequence[str]) -> list[Contrast]:
    """Each arm against the model before training, and against the experiment's baseline arm."""
    found = [(arm, BASE) for arm in arms]
    against = experiment.against
    if against is not None and against in arms:
        found += [(arm, against) for arm in arms if arm != against]
    return found


def differences_of(measure: Measure, contrasts: Sequence[Contrast], scores: Scores) -> list[tuple[Estimate, str]]:
    """Each contrast's difference with its verdict (Holm-corrected); none where scores are no evidence or lost apart."""
    runs = scores.runs[measure.label]
    found = [difference(runs[arm], runs[other], scores.is_paired) for arm, other in contrasts]
    corrected = holm({str(number): one.p_value for number, one in enumerate(found)})
    verdicts = []
    for number, (arm, other) in enumerate(contrasts):
        verdict = SIGNIFICANT if corrected[str(number)] < 1 - LEVEL else f"not {SIGNIFICANT}"
        if (fault := scores.fault_of(measure)) is not None:
            verdict = f"no verdict: {fault}"
        elif lost_apart := scores.num_lost_apart(measure, arm, other):
            verdict = f"no verdict: {lost_apart} samples lost in some runs only"
        verdicts.append(verdict)
    return list(zip(found, verdicts, strict=True))


def show_results(experiment: Experiment, scores: Scores, trained: Mapping[str, Sequence[Any]], is_tiny: bool) -> str:
    """The report as Markdown.

    Args:
        experiment: the experiment.
        scores: scores of the finished runs.
        trained: arm -> training.json of each seed.
        is_tiny: whether the model had random weights.
    """
    arms = [arm.name for arm in experiment.arms if arm.name in trained]
    labels = {BASE: "before training"} | {arm.name: arm.label for arm in experiment.arms}
    several = max(len(facts) for facts in trained.values()) > 1
    notes = [_TINY] if is_tiny else []
    of_seeds = _OF_SEVERAL_SEEDS.format(paired=" and by seed" if scores.is_paired else "")
    notes += [*experiment.notes, *scores.notes, of_seeds if several else _OF_ONE_SEED, _VERDICTS]
    if _paper_models(experiment, scores):
        pairs = ", ".join(f"{labels[arm]}: {model}" for arm, model in experiment.paper.items())
        notes.append(f"The paper's numbers are those of its table 5 ({pairs}), with VLMEvalKit of March 2025.")
    parts = [
        f"# {experiment.title}",
        "\n".join(f"- {note}" for note in notes),
        "## What was trained\n\n" + _trained_table(arms, labels, trained),
        "## Scores\n\n" + _scores_table(experiment, arms, labels, scores),
        "## Differences\n\n" + _differences_table(contrasts_of(experiment, arms), labels, scores),
    ]
    return "\n\n".join(parts) + "\n"


def _trained_table(arms: Sequence[str], labels: Mapping[str, str], trained: Mapping[str, Sequence[Any]]) -> str:
    rows = []
    for arm in arms:
        facts = trained[arm]
        taken = " + ".join(f"{share['taken']:,} of {share['name']}" for share in facts[0]["data"])
        skipped = sum(sum((one["run"]["rows_skipped"] or {}).values()) for one in facts)
        tokens = [one["run"]["trained_tokens"] for one in facts]
        mean = f"{sum(tokens) / len(tokens):,.0f}"
        rows.append([labels[arm], str(len(facts)), taken, mean, f"{facts[0]['run']['steps']:,}", f"{skipped:,}"])
    return to_table(["arm", "seeds", "dialogues", "trained tokens, mean", "steps", "rows skipped"], rows)


def _scores_table(experiment: Experiment, arms: Sequence[str], labels: Mapping[str, str], scores: Scores) -> str:
    columns, models = [BASE, *arms], _paper_models(experiment, scores)
    rows = []
    for measure in scores.measures:
        cells = [_show_arm(measure, column, scores) for column in columns]
        rows.append([measure.label, *cells, *(_of_paper(measure, model) for model in models)])
    paper = [f"paper: {model}" for model in models]
    return to_table(["measure", *(labels[column] for column in columns), *paper], rows)


def _paper_models(experiment: Experiment, scores: Scores) -> list[str]:
    """Models of the paper with a score for any of the measures."""
    models = experiment.paper.values()
    return [model for model in models if any(_of_paper(measure, model) for measure in scores.measures)]


def _of_paper(measure: Measure, model: str) -> str:
    if len(measure.tasks) > 1:
        found = paper_scores(model)
        known = [next((v for k, v in found.items() if k.startswith(f"{task}/")), None) for task in measure.tasks]
        numbers = [number for number in known if number is not None]
        return f"{sum(numbers) / len(numbers):.2f}" if len(numbers) == len(known) else ""
    is_public = measure.tasks[0] in GROUPS["public"]
    number = paper_scores(model).get(measure.metric) if is_public else None
    return "" if number is None else f"{number:g}"


def _differences_table(contrasts: Sequence[Contrast], labels: Mapping[str, str], scores: Scores) -> str:
    header = ["measure", *(f"{labels[arm]} less {labels[other]}" for arm, other in contrasts)]
    rows = []
    for measure in scores.measures:
        found = differences_of(measure, contrasts, scores)
        cells = [f"{_show(one, '+')}, {verdict}" for one, verdict in found]
        rows.append([measure.label, *cells])
    return to_table(header, rows)


def _show_arm(measure: Measure, arm: str, scores: Scores) -> str:
    """An arm's score, with the number of its lost samples."""
    lost = scores.num_lost(measure, arm)
    return _show(estimate(scores.runs[measure.label][arm])) + (f"; {lost} lost" if lost else "")


def _show(found: Estimate, sign: str = "") -> str:
    if finite(found.low) is None:
        return f"{found.mean:{sign}.2f}"
    return f"{found.mean:{sign}.2f} [{found.low:{sign}.2f}, {found.high:{sign}.2f}]"


def write_results(
    path: Path, experiment: Experiment, scores: Scores, trained: Mapping[str, Sequence[Any]], failed: Sequence[str]
) -> None:
    """Write the results as JSON, atomically.

    Args:
        path: output file.
        experiment: the experiment.
        scores: scores of the finished runs.
        trained: arm -> training.json of each seed.
        failed: descriptions of failures.
    """
    arms = [arm for arm in experiment.arms if arm.name in trained]
    contrasts = contrasts_of(experiment, [arm.name for arm in arms])
    measures = []
    for measure in scores.measures:
        runs = scores.runs[measure.label]
        compared = zip(contrasts, differences_of(measure, contrasts, scores), strict=True)
        measures.append(
            {
                "label": measure.label,
                "tasks": list(measure.tasks),
                "arms": {
                    name: {
                        **_to_json(estimate(runs[name])),
                        "by_seed": runs[name].values_S.tolist(),
                        "num_lost": scores.num_lost(measure, name),
                    }
                    for name in (BASE, *(arm.name for arm in arms))
                },
                "differences": [
                    {
                        **{"arm": arm, "against": other, **_to_json(one), "p_value": one.p_value},
                        **{"significant": verdict == SIGNIFICANT, "verdict": verdict},
                    }
                    for (arm, other), (one, verdict) in compared
                ],
            }
        )
    results = {
        "title": experiment.title,
        "notes": [*experiment.notes, *scores.notes],
        "arms": [{**asdict(arm), "trained": list(trained[arm.name])} for arm in arms],
        "measures": measures,
        "failed": list(failed),
    }
    write_text(path, json.dumps(results, indent=1, allow_nan=False) + "\n")


def _to_json(found: Estimate) -> dict[str, float | None]:
    return {"value": found.mean, "low": finite(found.low), "high": finite(found.high)}
