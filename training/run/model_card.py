"""The model card: base model, data, hyperparameters, what the run did, its loss curve, its scores."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcr_dataset.publish.markdown_table import code_span, escape_markdown, to_table

FACTS = "training.json"  # next to the weights: data of the card, to rewrite it with scores
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def write_card(folder: Path, facts: Mapping[str, Any], scores: Mapping[str, Any] | None = None) -> None:
    """Write README.md and the facts into a model's folder; `loss.png` is included if it exists.

    Args:
        folder: folder of the model.
        facts: result of `run_facts`.
        scores: results.json of an evaluation run.
    """
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    parts = [_front_matter(facts), _show_head(facts), _show_data(facts), _show_run(facts)]
    if (folder / "loss.png").is_file():
        parts.append("![Loss over trained tokens](loss.png)")
    if scores is not None:
        parts.append(_show_scores(scores))
    (folder / "README.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts of a trained model.

    Raises:
        ValueError: the folder isn't final/ of a training run.
    """
    path = folder / FACTS
    if not path.is_file() or not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise ValueError(f"{folder}: no {FACTS} beside a config.json; name the final/ folder of a training run")
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def read_scores(run: Path) -> dict[str, Any]:
    """The results of an evaluation run.

    Raises:
        ValueError: there are none, or they are malformed.
    """
    path = run / "results.json"
    if not path.is_file():
        raise ValueError(f"{run}: no results.json; name the folder of a finished evaluation run")
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for entry in results["tasks"].values():
            _ = entry["rules"], entry["num_samples"], [total["value"] for total in entry["totals"].values()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not the results of an evaluation run ({type(error).__name__}: {error})") from error
    return results


def _bare(name: str) -> str:
    """A Hub id, or the last part of a local path."""
    return name if _HUB_ID.fullmatch(name) and not Path(name).exists() else Path(name).name


def _front_matter(facts: Mapping[str, Any]) -> str:
    lines = ["library_name: transformers", "pipeline_tag: image-text-to-text", "tags:", "- multi-turn", "- mmcr"]
    if _HUB_ID.fullmatch(facts["model"]):
        lines += [f"base_model: {facts['model']}"]
    if datasets := [f"- {share['name']}" for share in facts["data"] if _HUB_ID.fullmatch(share["name"])]:
        lines += ["datasets:", *datasets]
    return "\n".join(["---", *lines, "---"])


def _show_head(facts: Mapping[str, Any]) -> str:
    revision = f" at {code_span(facts['revision'])}" if facts["revision"] else ""
    return (
        f"# {escape_markdown(facts['model'].rpartition('/')[2])}, trained on dialogues\n\n"
        f"{code_span(facts['model'])}{revision} (family {facts['family']}), fine-tuned on dialogues of several turns "
        "about one or several images. Loss on the answers and their ends of turn only; the chat template that does so "
        "is saved with the model."
    )


def _show_data(facts: Mapping[str, Any]) -> str:
    rows = [
        (escape_markdown(share["name"]), share["revision"], share["rows"], share["taken"]) for share in facts["data"]
    ]
    return "## Data\n\n" + to_table(("data set", "revision", "rows", "taken in an epoch"), rows)


def _show_run(facts: Mapping[str, Any]) -> str:
    did = [(name.replace("_", " "), value) for name, value in facts["run"].items()]
    settings = [(f"`{name}`", value) for name, value in facts["settings"].items()]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"## Training\n\n{to_table(('what', 'value'), did)}\n\n"
        f"{to_table(('setting', 'value'), settings)}\n\nVersions: {versions}."
    )


def _show_scores(results: Mapping[str, Any]) -> str:
    rows = []
    for task, entry in sorted(results["tasks"].items()):
        for metric, total in entry["totals"].items():
            low, high = total.get("low"), total.get("high")
            interval = "" if low is None or high is None else f"{low:.2f} to {high:.2f}"
            rows.append((task, metric, _show_value(total["value"]), interval, entry["num_samples"], entry["rules"]))
    return "## Scores\n\n" + to_table(("task", "metric", "value", "95 % interval", "samples", "rules"), rows)


def _show_value(value: float | None) -> str:
    return "no score" if value is None else f"{value:.2f}"


def run_facts(
    settings: Mapping[str, Any], family: str, shares: Sequence[Any], run: Mapping[str, Any]
) -> dict[str, Any]:
    """The facts of a run for its card, without local paths.

    Args:
        settings: fields of the configuration.
        family: model family.
        shares: share of each data set (`training.data.mixture.Share`).
        run: steps, tokens, seconds, ...
    """
    import platform
    from importlib.metadata import version

    left_out = {
        "model", "revision", "data", "data_revision", "output_dir", "resume", "dry_run", "push_to",
        "topic_file",
    }  # fmt: skip
    libraries = ("torch", "transformers", "trl", "accelerate", "datasets")
    revision = settings["data_revision"] or "newest"
    return {
        "model": _bare(settings["model"]),
        "revision": settings["revision"],
        "family": family,
        "data": [
            {"name": _bare(share.name), "revision": revision, "rows": share.num_rows, "taken": share.num_taken}
            for share in shares
        ],
        "settings": {name: value for name, value in settings.items() if name not in left_out},
        "run": dict(run),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in libraries},
    }
