"""Published scores and our scores of the same prediction files, as a table: python -m benchmarks.eval_parity [FOLDER].

The files are those of the parity test; missing ones in FOLDER (default ../shared/data/parity) are marked.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from eval_tasks.registry import find_tasks, load_task
from eval_tasks.report.tables import to_table
from eval_tasks.score_predictions import score_predictions
from tests.eval_tasks.test_parity import CASES, Published

FIRST = 3  # number of metrics shown per file


def to_row(case: Published, folder: Path) -> list[str]:
    """The table row of a file."""
    shown = list(case.values.items())[:FIRST]
    published = " / ".join(f"{value:.{case.digits}f}" for _, value in shown)
    name = Path(case.file).name
    metrics = ", ".join(metric for metric, _ in shown)
    if not all((folder / place).exists() for place in filter(None, (case.file, case.data))):
        return [case.task, name, case.rules or "", metrics, published, "(file not there)"]
    data = str(folder / case.data) if case.data else None
    task = load_task(find_tasks()[case.task])
    entry, _ = score_predictions(task, folder / case.file, case.rules, data)
    ours = " / ".join(f"{entry['totals'][metric]['value']:.{case.digits}f}" for metric, _ in shown)
    return [case.task, name, entry["rules"], metrics, published, ours]


def main() -> None:
    """Score every file and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("../shared/data/parity"))
    folder = parser.parse_args().folder
    header = ["task", "predictions", "rules", "metrics", "published", "ours"]
    print(to_table(header, [to_row(case, folder) for case in CASES]))


if __name__ == "__main__":
    main()
