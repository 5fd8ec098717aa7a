"""Benchmarks of each checkpoint: `python -m eval_tasks` on its folder, as a program of its own."""

from __future__ import annotations

import json
import logging
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from training.run.checkpoints import COMPLETE
from training.run.meter import Meter
from training.run.ranks import on_first_rank

log = logging.getLogger(__name__)


class ScoreTasks(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Evaluates each checkpoint that was just written; the other ranks wait. A failure is logged, the run goes on.

    Args:
        words: what follows `--tasks`.
        folder: for `tasks.jsonl` and the output of each evaluation.
        meter: of the training's throughput, which leaves this time out.
    """

    def __init__(self, words: str, folder: Path, meter: Meter) -> None:
        self.words = shlex.split(words)
        self.folder = folder
        self.meter = meter

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Evaluate the checkpoint of this step."""
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        begin_s = time.perf_counter()
        on_first_rank(lambda: self._score(checkpoint, state.global_step))
        self.meter.leave_out(time.perf_counter() - begin_s)

    def _score(self, checkpoint: Path, step: int) -> None:
        out = self.folder / f"tasks-{step:06d}"
        assert (checkpoint / COMPLETE).is_file(), f"{checkpoint} is saved, but not complete"
        command = [sys.executable, "-m", "eval_tasks", "--model", f"hf:{checkpoint}", "--output_dir", str(out)]
        done = subprocess.run(  # noqa: S603  (words of the user's own command line)
            [*command, "--tasks", *self.words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        results = out / "results.json"
        if done.returncode or not results.is_file():
            said = done.stderr.strip().rpartition("\n")[2]
            log.warning("%s: not evaluated (exit code %d: %s)", checkpoint, done.returncode, said)
            return
        tasks = json.loads(results.read_text(encoding="utf-8"))["tasks"]
        values: dict[str, float | None] = {}
        first: list[tuple[str, float | None]] = []
        for task, entry in tasks.items():
            of_task = {f"{task}/{metric}": total["value"] for metric, total in entry["totals"].items()}
            first += list(of_task.items())[:1]
            values |= of_task
        log.info("step %d  %s", step, "  ".join(f"{name} {value:.1f}" for name, value in first if value is not None))
        with (self.folder / "tasks.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
