"""Log a run's totals to an experiment tracker: wandb or trackio, which share their interface."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from typing import Any

TRACKERS = ("trackio", "wandb")
PROJECT = "mmcr-eval"


def check_trackers(names: Sequence[str]) -> None:
    """Check that these trackers exist and are installed, before anything is asked.

    Raises:
        ValueError: a name is unknown, or its package is missing.
    """
    for name in names:
        if name not in TRACKERS:
            raise ValueError(f"--report_to {name}: expected {' or '.join(TRACKERS)}")
        if importlib.util.find_spec(name) is None:
            raise ValueError(f"--report_to {name} needs {name}: pip install {name}")


def log_run(names: Sequence[str], run_name: str, results: Mapping[str, Any]) -> None:
    """Log the totals of a run, one number each, with the ends of their intervals and the counts of lost samples.

    A total without a score isn't logged.

    Args:
        names: trackers.
        run_name: name of the run there.
        results: content of results.json.
    """
    numbers: dict[str, float] = {}
    for task, entry in results["tasks"].items():
        for metric, total in entry["totals"].items():
            ends = {"": total["value"], "/low": total["low"], "/high": total["high"]}
            numbers |= {f"{task}/{metric}{end}": value for end, value in ends.items() if value is not None}
        numbers |= {f"{task}/{name}": float(sum(entry[name].values())) for name in ("failures", "unjudged")}
        numbers |= {f"{task}/{name}": float(entry[name]) for name in ("num_unread", "num_truncated", "num_samples")}
    rules = {task: entry["rules"] for task, entry in results["tasks"].items()}
    config = {"model": results["model"], "decoding": results["decoding"], "rules": rules}
    for name in names:
        tracker = importlib.import_module(name)
        with contextlib.redirect_stdout(sys.stderr):  # stdout is the table's
            tracker.init(project=PROJECT, name=run_name, config=config)
            tracker.log(numbers)
            tracker.finish()
