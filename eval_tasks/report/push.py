"""Write a run's scores into a model's card on the Hub: as its evaluation results, and as a table in its text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval_tasks.report.tables import exit_code, run_table
from eval_tasks.store.run_folder import read_results

BEGIN, END = "<!-- mmcr scores -->", "<!-- end of mmcr scores -->"


def push_scores(folder: Path, model: str) -> str:
    """Write the scores of a run into the card of a model repository; returns the address of the commit.

    Other results and the card's other text are kept; scores of the same benchmark, metric and rules are replaced.

    Args:
        folder: folder of a finished run.
        model: id of the repository, ORG/NAME.

    Raises:
        ValueError: a task has no score or an unfit judge, or the repository can't be read or written.
    """
    from huggingface_hub import ModelCard, ModelCardData
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError

    results = read_results(folder)
    unfit = [name for name, entry in results["tasks"].items() if (entry.get("canaries") or {}).get("fit") is False]
    if exit_code(results) or unfit:
        raise ValueError(f"{folder}: a task has no score, or an unfit judge ({', '.join(unfit)}); nothing is pushed")
    try:
        card = ModelCard.load(model, ignore_metadata_errors=False)
    except EntryNotFoundError:
        card = ModelCard(f"---\n{ModelCardData().to_yaml()}\n---\n")
    except (RepositoryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ValueError(f"--push_to {model}: its card can't be read ({error})") from error
    ours = to_eval_results(results)
    named = {_identity(one) for one in ours}
    kept = [one for one in card.data.eval_results or [] if _identity(one) not in named]
    card.data.model_name = card.data.model_name or model.split("/")[-1]
    card.data.eval_results = [*kept, *ours]
    card.text = with_section(card.text, f"## Scores\n\n{run_table(results)}")
    try:
        return str(card.push_to_hub(model, commit_message="Scores of python -m eval_tasks"))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ValueError(f"--push_to {model}: its card can't be written ({error}); check HF_TOKEN") from error


def to_eval_results(results: Mapping[str, Any]) -> list[Any]:
    """The totals over all samples as `huggingface_hub.EvalResult`, with rules, judge, counts and interval."""
    from huggingface_hub import EvalResult

    found = []
    for task, entry in results["tasks"].items():
        counts = {name: entry[name] for name in ("failures", "num_unread", "unjudged", "num_samples")}
        for metric, total in entry["totals"].items():
            if total["value"] is None or total.get("breakdown"):
                continue
            found.append(
                EvalResult(
                    task_type="image-text-to-text",
                    dataset_type=task,
                    dataset_name=task,
                    dataset_args={**counts, "prompts_sha256": entry.get("prompts_sha256")},
                    metric_type=metric,
                    metric_name=f"{metric} ({entry['rules']})",
                    metric_value=round(total["value"], 4),
                    metric_args={
                        "rules": entry["rules"],
                        "judge": entry["judge"]["name"],
                        "interval_95": [total["low"], total["high"]],
                    },
                )
            )
    return found


def _identity(result: Any) -> tuple[str, str, str]:  # noqa: ANN401  (an EvalResult)
    rules = (result.metric_args or {}).get("rules", "") if isinstance(result.metric_args, Mapping) else ""
    return result.dataset_type, result.metric_type, rules


def with_section(text: str, section: str) -> str:
    """The card's text with the section of the run, in place of the one of an earlier push."""
    section = f"{BEGIN}\n{section}\n{END}"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{section}{after}" if begin and end else f"{text.rstrip()}\n\n{section}\n"
