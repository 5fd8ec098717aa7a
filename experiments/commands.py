"""The commands that an experiment runs: train.py, python -m eval_tasks, python -m training settings."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TRAIN = os.path.relpath(Path(__file__).resolve().parents[1] / "train.py")
_DRY_RUN_BATCH = 64  # micro-batch size of a dry run, in dialogues; it encodes eight micro-batches


@dataclass(frozen=True)
class Command:
    """One command. A resumed step may use another launcher, but not another program.

    Attributes:
        launcher: interpreter and launcher with its flags.
        program: the program with its flags.
    """

    launcher: Sequence[str]
    program: Sequence[str]

    @property
    def words(self) -> list[str]:
        """Launcher and program."""
        return [*self.launcher, *self.program]

    def show(self) -> str:
        """The command, shell-quoted."""
        return shlex.join(self.words)


@dataclass(frozen=True)
class Commands:
    """Shared settings of all commands of an experiment.

    Attributes:
        python: interpreter.
        config: training recipe.
        tasks: comma-separated benchmarks.
        judge: a `--judge` value of eval_tasks.
        train_flags: additional flags of train.py.
        eval_flags: additional flags of eval_tasks.
        launch: accelerate's config file, None for one process.
        processes: number of processes; None for that of the file.
    """

    python: str
    config: str
    tasks: str
    judge: str = "offline"
    train_flags: Sequence[str] = ()
    eval_flags: Sequence[str] = ()
    launch: str | None = None
    processes: int | None = None
    _known: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict, init=False, compare=False)

    def train(self, flags: Sequence[str], seed: int, out: Path, model: str | None) -> Command:
        """The training of an arm.

        Args:
            flags: flags of the arm.
            seed: random seed.
            out: output folder.
            model: base model, None for that of the recipe.
        """
        more = ["--model", model] if model else []
        ends = ["--seed", str(seed), "--output_dir", str(out), "--resume", "true"]
        return Command(self._launcher(), [TRAIN, *override(self._settings(flags), [*more, *ends])])

    def evaluate(self, model: str, out: Path) -> Command:
        """The evaluation of a checkpoint."""
        asked = ["--model", f"hf:{model}", "--tasks", self.tasks, "--judge", self.judge, "--out", str(out)]
        if self.launch or (self.processes or 1) > 1:
            return Command(self._launcher(), ["-m", "eval_tasks", *asked, *self.eval_flags])
        return Command([self.python], ["-m", "eval_tasks", *asked, *self.eval_flags])

    def dry_run(self, flags: Sequence[str], out: Path, model: str | None) -> Command:
        """A dry run that counts rows and trained tokens, and writes `base/` of a `tiny:` model."""
        limit = self.settings(flags)
        longest = min(limit["max_length_tokens"], limit["bin_tokens"] if limit["packing"] else 1 << 60)
        padded = ["--packing", "false", "--attention", "sdpa", "--micro_batch_dialogues", str(_DRY_RUN_BATCH)]
        padded += ["--global_batch_dialogues", str(8 * _DRY_RUN_BATCH), "--max_length_tokens", str(longest)]
        more = ["--model", model] if model else []
        ends = ["--output_dir", str(out), "--dry_run", "true"]
        return Command(
            [self.python, "-m", "accelerate.commands.launch", "--quiet", *_one_process(1)],
            [TRAIN, *override(self._settings(flags), [*more, *padded, *ends])],
        )

    def settings(self, flags: Sequence[str]) -> dict[str, Any]:
        """The settings of train.py with these flags; asked once.

        Raises:
            ValueError: a setting is invalid, with the message of train.py.
        """
        asked = (self.python, "-m", "training", "settings", *self._settings(flags))
        if asked in self._known:
            return self._known[asked]
        said = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
        if said.returncode:
            raise ValueError(said.stderr.strip().splitlines()[-1].removeprefix("error: "))
        self._known[asked] = json.loads(said.stdout)
        return self._known[asked]

    def _settings(self, flags: Sequence[str]) -> list[str]:
        return ["--config", self.config, *override(self.train_flags, flags)]

    def _launcher(self) -> list[str]:
        start = [self.python, "-m", "accelerate.commands.launch", "--quiet"]  # its traceback says nothing of the fault
        if self.launch:
            number = ["--num_processes", str(self.processes)] if self.processes else []
            return [*start, "--config_file", self.launch, *number]
        several = ["--multi_gpu"] if (self.processes or 1) > 1 else []
        return [*start, *several, *_one_process(self.processes or 1)]


def override(flags: Sequence[str], later: Sequence[str]) -> list[str]:
    """Both, without what `later` gives again: a flag is given once."""

    def name_of(word: str) -> str:
        return word.partition("=")[0].removeprefix("--").removeprefix("no-").replace("-", "_").removeprefix("no_")

    again = {name_of(word) for word in later if word.startswith("--")}
    kept: list[str] = []
    keep = True
    for word in flags:
        if word.startswith("--"):
            keep = name_of(word) not in again
        kept += [word] if keep else []
    return [*kept, *later]


def _one_process(processes: int) -> list[str]:
    """Flags of accelerate without a config file, so that the user's default config isn't used."""
    said = {"num_processes": processes, "num_machines": 1, "mixed_precision": "no", "dynamo_backend": "no"}
    return [word for name, value in said.items() for word in (f"--{name}", str(value))]
