"""Make `mini`, a small model that reads the images of the controlled world, from random weights.

    python -m experiments.mini --output_dir training/mini

Two lessons, each a training by train.py on sets of `python -m mmcr_bench exact build`: captions of images, with and
without the names of the places; then dialogues of questions without references. No scene or wording of the test split
is in them. A run with the same `--work_dir` resumes.
"""

from __future__ import annotations

import itertools
import json
import logging
import resource
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.commands import TRAIN, Command
from experiments.conduct import main
from experiments.runs import exit_on_sigterm, lock_folder, run_step

log = logging.getLogger(__name__)

EXPLICIT = ("attr", "count", "where")  # operators of questions without references
_DIALOGUES = ("--images", "1-2", "--turns", "6", "--ops", ",".join(EXPLICIT))
SETS = {  # name -> flags of `exact build`
    "captions": ("--telling", "captions", "--dialogues", "3000"),
    "places": ("--telling", "places", "--dialogues", "3000"),
    "questions": ("--telling", "linked", "--dialogues", "4000", *_DIALOGUES),
    "words": ("--telling", "linked", "--dialogues", "400", "--images", "1-3", "--turns", "12"),  # for the tokenizer
    "test": ("--telling", "linked", "--dialogues", "100", *_DIALOGUES),
}
_COMMON = "--precision float32 --bin_tokens 4096 --lr_schedule cosine --warmup_percent 5 --log_every_steps 100".split()


@dataclass(frozen=True)
class Lesson:
    """A training.

    Attributes:
        name: its folder.
        weights: set -> weight in the mixture.
        flags: flags of train.py.
    """

    name: str
    weights: dict[str, int]
    flags: str

    def to_flags(self, work: Path) -> list[str]:
        """The flags of train.py for sets in this folder."""
        places = [str(work / name) for name in self.weights]
        return ["--data", *places, "--data_weights", *map(str, self.weights.values()), *self.flags.split(), *_COMMON]


LESSONS = (
    Lesson(
        "seeing",
        {"captions": 1, "places": 2},
        "--max_steps 800 --global_batch_dialogues 16 --learning_rate 1.5e-3",
    ),
    Lesson(
        "asking",
        {"questions": 4, "places": 1},
        "--max_steps 500 --global_batch_dialogues 24 --learning_rate 1e-3",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Mini:
    """Make `mini`: a small model that reads the images of the controlled world.

    Attributes:
        output_dir: folder of the model; an existing one is replaced once the new one is complete.
        work_dir: sets, trainings and logs; a run with the same folder resumes.
        seed: seed of the weights, of the sets and of the order of their rows.
        domains: domains of the images, comma-separated.
        python: interpreter of all commands.
    """

    output_dir: Path
    work_dir: Path = Path("out/mini")
    seed: int = 0
    domains: str = "shapes"
    python: str = sys.executable

    def run(self) -> None:
        """Build the sets, train, evaluate, and write the model with its card."""
        with exit_on_sigterm(), lock_folder(self.work_dir) as lock:
            for number, (name, flags) in enumerate(SETS.items()):
                self._step(name, self._build(name, flags, number), lock)
            model = self.work_dir / "base"
            if not (model / "config.json").is_file():
                self._write_base(model)
            for lesson in LESSONS:
                self._step(lesson.name, self._train(lesson, model), lock)
                model = self.work_dir / lesson.name / "final"
            self._step("eval", self._evaluate(model), lock)
        self._publish(model)

    def _step(self, name: str, command: Command, lock: int) -> None:
        log.info("%s: log %s.log", name, self.work_dir / "steps" / name)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        if run_step(name, command, self.work_dir / "steps", lock):
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            (self.work_dir / "steps" / f"{name}.cpu_s").write_text(f"{seconds:.0f}", encoding="utf-8")

    def _build(self, name: str, flags: Sequence[str], number: int) -> Command:
        split = "test" if name == "test" else "train"
        style = ["--style", "plain", "--side", "2", "--guesses", "none", "--split", split, "--domains", self.domains]
        seed = ["--seed", str(100 * self.seed + number)]
        words = ["-m", "mmcr_bench", "exact", "build", *flags, *style, *seed, "--output_dir", str(self.work_dir / name)]
        return Command([self.python], words)

    def _write_base(self, folder: Path) -> None:
        from mmcr_dataset.record.load import load_dialogues
        from training.model.mini import write_mini
        from training.model.tiny import dialogue_texts

        sets = [load_dialogues(str(self.work_dir / name)) for name in SETS if name != "test"]
        write_mini(folder, dialogue_texts(itertools.chain.from_iterable(sets)), self.seed)

    def _train(self, lesson: Lesson, model: Path) -> Command:
        ends = ["--model", str(model), "--seed", str(self.seed), "--output_dir", str(self.work_dir / lesson.name)]
        launch = [self.python, "-m", "accelerate.commands.launch", "--quiet", "--cpu", "--num_processes", "1"]
        return Command(launch, [TRAIN, *lesson.to_flags(self.work_dir), *ends, "--resume", "true"])

    def _evaluate(self, model: Path) -> Command:
        asked = ["--model", f"hf:{model}", "--tasks", "mmcr_exact", "--data", f"mmcr_exact={self.work_dir / 'test'}"]
        return Command(
            [self.python], ["-m", "eval_tasks", *asked, "--max_new_tokens", "16", "--output_dir", str(self._run_dir)]
        )

    @property
    def _run_dir(self) -> Path:
        return self.work_dir / "eval"

    def _publish(self, model: Path) -> None:
        """Write the model and its card beside `output_dir`, then take its place."""
        new = self.output_dir.with_name(self.output_dir.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        leave = shutil.ignore_patterns("README.md", "training.json", "loss.png")  # they describe the last lesson alone
        shutil.copytree(model, new, ignore=leave)
        (new / "README.md").write_text(self._card(), encoding="utf-8")
        shutil.rmtree(self.output_dir, ignore_errors=True)
        new.rename(self.output_dir)
        size = sum(path.stat().st_size for path in self.output_dir.iterdir())
        print(f"{self.output_dir}: {size / 1e6:.1f} MB")

    def _card(self) -> str:
        steps = self.work_dir / "steps"
        cpu_s = sum(int(path.read_text(encoding="utf-8")) for path in steps.glob("*.cpu_s"))
        results: dict[str, Any] = json.loads((self._run_dir / "results.json").read_text(encoding="utf-8"))
        scores = next(iter(results["tasks"].values()))
        return _CARD.format(seed=self.seed, domains=self.domains, cpu_s=cpu_s, scores=scores)
