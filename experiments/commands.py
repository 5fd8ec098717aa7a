"""The commands an experiment runs: train.py, python -m eval_tasks, python -m training settings."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRAIN = os.path.relpath(Path(__file__).resolve().parents[1] / "train.py")
_LOOKED_AT = 64  # dialogues a micro-batch of a look; training looks at eight of them


@dataclass(frozen=True)
class Command:
    """One command. The launcher may change between two tries, the program is what makes the result.

    Attributes:
        launcher: how it is started: interpreter, processes.
        program: what is started, with its flags.
    """

    launcher: Sequence[str]
    program: Sequence[str]

    @property
    def words(self) -> list[str]:
        """All of it."""
        return [*self.launcher, *self.program]

    def show(self) -> str:
        """As it is typed in a shell."""
        return shlex.join(self.words)


@dataclass(frozen=True)
class Commands:
    """What all commands of an experiment share.

    Attributes:
        python: interpreter.
        config: recipe of the training.
        tasks: benchmarks, with commas.
        judge: a `--judge` value of eval_tasks.
        train_flags: further flags of train.py.
        eval_flags: further flags of eval_tasks.
        launch: file of accelerate's settings, None for one process.
        processes: how many; None for what the file says.
    """

    python: str
    config: str
    tasks: str
    judge: str = "offline"
    train_flags: Sequence[str] = ()
    eval_flags: Sequence[str] = ()
    launch: str | None = None
    processes: int | None = None

    def train(self, flags: Sequence[str], seed: int, out: Path, model: str | None) -> Command:
        """One arm's training; `model` instead of the recipe's."""
        more = ["--model", model] if model else []
        ends = ["--seed", str(seed), "--output_dir", str(out), "--resume", "true"]
        return Command(self._launcher(), [TRAIN, *self._settings(flags), *more, *ends])

    def evaluate(self, model: str, out: Path) -> Command:
        """The evaluation of a checkpoint."""
        asked = ["--model", f"hf:{model}", "--tasks", self.tasks, "--judge", self.judge, "--out", str(out)]
        if self.launch or (self.processes or 1) > 1:
            return Command(self._launcher(), ["-m", "eval_tasks", *asked, *self.eval_flags])
        return Command([self.python], ["-m", "eval_tasks", *asked, *self.eval_flags])

    def look(self, flags: Sequence[str], out: Path, model: str | None) -> Command:
        """A dry run that counts rows and trained tokens, and of a `tiny:` model leaves `base/`."""
        limit = self.settings(flags)
        longest = min(limit["max_length_tokens"], limit["bin_tokens"] if limit["packing"] else 1 << 60)
        look = ["--packing", "false", "--attention", "sdpa", "--micro_batch_dialogues", str(_LOOKED_AT)]
        look += ["--global_batch_dialogues", str(8 * _LOOKED_AT), "--max_length_tokens", str(longest)]
        more = ["--model", model] if model else []
        ends = ["--output_dir", str(out), "--dry_run", "true"]
        return Command(
            [self.python, "-m", "accelerate.commands.launch", "--quiet", *_one_process(1)],
            [TRAIN, *self._settings(flags), *more, *look, *ends],
        )

    def settings(self, flags: Sequence[str]) -> dict[str, Any]:
        """What train.py would train with.

        Raises:
            ValueError: a setting is wrong; as train.py says it.
        """
        asked = [self.python, "-m", "training", "settings", *self._settings(flags)]
        said = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
        if said.returncode:
            raise ValueError(said.stderr.strip().splitlines()[-1].removeprefix("error: "))
        settings: dict[str, Any] = json.loads(said.stdout)
        return settings

    def _settings(self, flags: Sequence[str]) -> list[str]:
        return ["--config", self.config, *self.train_flags, *flags]

    def _launcher(self) -> list[str]:
        start = [self.python, "-m", "accelerate.commands.launch", "--quiet"]  # its traceback says nothing of the fault
        if self.launch:
            number = ["--num_processes", str(self.processes)] if self.processes else []
            return [*start, "--config_file", self.launch, *number]
        several = ["--multi_gpu"] if (self.processes or 1) > 1 else []
        return [*start, *several, *_one_process(self.processes or 1)]


def _one_process(processes: int) -> list[str]:
    """Settings of accelerate where no file gives them, so that the user's own file has no say."""
    said = {"num_processes": processes, "num_machines": 1, "mixed_precision": "no", "dynamo_backend": "no"}
    return [word for name, value in said.items() for word in (f"--{name}", str(value))]
