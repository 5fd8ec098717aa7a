"""python -m eval_tasks explain A B: why does my score differ?"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from eval_tasks.commands import Places, TaskFiles, all_tasks
from eval_tasks.places import places_of

if TYPE_CHECKING:
    from eval_tasks.task import Task


@dataclass(frozen=True)
class Explain:
    """Explain the difference of two scores: every sample that changed, with its cause.

    Compares two runs, a run with a predictions file of another harness, or a run with itself under other rules.

    Attributes:
        run_a: folder of run A.
        run_b: folder of run B, or a file of predictions; not with --rules.
        rules: score run A under these rules too, and explain that difference.
        judge: judge of --rules or of the predictions; default that of run A.
        html: also write an HTML page with the changed samples side by side.
        data: place of a task's data: gold answers for a predictions file, images for the page.
        tasks_from: file or folder with additional tasks.
    """

    run_a: Positional[Annotated[Path, arg(metavar="A")]]
    run_b: Positional[Annotated[Path | None, arg(metavar="B")]] = None
    rules: str | None = None
    judge: str | None = None
    html: Annotated[Path | None, arg(metavar="FILE")] = None
    data: Places = ()
    tasks_from: TaskFiles = ()

    def run(self) -> None:
        """Print the causes and the changed samples, and write the page.

        Raises:
            ValueError: neither or both of B and --rules are given.
        """
        from eval_tasks.report.explain import explain, show_explanation
        from eval_tasks.report.page import write_explanation_page
        from eval_tasks.store.run_folder import read_results

        if (self.run_b is None) == (self.rules is None):
            raise ValueError("give a second run or predictions file, or --rules for the same run under other rules")
        tasks = all_tasks(self.tasks_from, list(read_results(self.run_a)["tasks"]))
        with tempfile.TemporaryDirectory() as made:
            other = self._second_run(tasks, Path(made) / (self.rules or "predictions"))
            tasks = {name: task for name, task in tasks.items() if name in read_results(other)["tasks"]}
            found = explain(self.run_a, other, tasks)
            print(show_explanation(found))
            if self.html is not None:
                data = dict(places_of(tasks, self.data))
                write_explanation_page(self.html, self.run_a, other, tasks, found, data)
                print(f"\npage: {self.html}")

    def _second_run(self, tasks: dict[str, Task], made: Path) -> Path:
        """The folder of run B; made from the predictions or the rules if it isn't one."""
        from eval_tasks.run import JUDGE_LEDGER, score_again
        from eval_tasks.store.run_folder import read_results

        if self.run_b is not None and (self.run_b / "results.json").is_file():
            return self.run_b
        data = dict(places_of(tasks, self.data))
        made.mkdir(parents=True)
        if self.run_b is not None:
            return self._run_of_predictions(self.run_b, tasks, data, made)
        for name in ("results.json", "samples.jsonl", JUDGE_LEDGER):
            if (self.run_a / name).is_file():
                shutil.copy(self.run_a / name, made / name)
        changed = {name: task for name, task in tasks.items() if self.rules in (*task.rules, *task.adapter_rules)}
        if not changed:
            has = {name: ", ".join(task.rules) for name, task in tasks.items()}
            raise ValueError(f"--rules {self.rules}: no task of {self.run_a} has them: {has}")
        kept = read_results(made)
        if set(kept["tasks"]) != set(changed):
            raise ValueError(f"--rules {self.rules}: only {', '.join(changed)} of the run's tasks have these rules")
        score_again(made, changed, self.rules, self.judge, data)
        return made

    def _run_of_predictions(self, path: Path, tasks: dict[str, Task], data: dict[str, str], made: Path) -> Path:
        """A run of the predictions of the only task."""
        from eval_tasks.run import JUDGE_LEDGER, prompts_hash, store
        from eval_tasks.score_predictions import score_predictions
        from eval_tasks.store.run_folder import read_results

        if len(tasks) != 1:
            raise ValueError(f"{self.run_a} has the tasks {', '.join(tasks)}; a predictions file is of one task")
        ((name, task),) = tasks.items()
        rules = read_results(self.run_a)["tasks"][name]["rules"]
        place = data.get(name) or read_results(self.run_a)["tasks"][name].get("data")
        ledger = self.run_a / JUDGE_LEDGER
        entry, records = score_predictions(task, path, rules, place, self.judge or "offline", ledger)
        model: dict[str, Any] = {"name": f"predictions:{path.name}", "revision": "file"}
        entry |= {"prompts_sha256": prompts_hash(records), "limit": None}
        store(made, {"model": model, "decoding": {}, "tasks": {name: entry}}, records)
        return made
