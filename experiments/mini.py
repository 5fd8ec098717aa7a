"""Make `mini`, a small model that reads the images of the controlled world, from random weights.

    python -m experiments.mini --output_dir training/mini

Three lessons, each a training by train.py on sets of `python -m mmcr_bench exact build`: captions of images, with and
without the names of the places; single questions; dialogues of questions without references. No scene of the test
split is in them. A run with the same `--work_dir` resumes.
"""

from __future__ import annotations

import logging
import math
import resource
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.commands import TRAIN, Command
from experiments.runs import exit_on_sigterm, lock_folder, run_step
from mmcr_dataset.command_line import Program, run_program

log = logging.getLogger(__name__)

_ONE_QUESTION = ("--ops", "attr,count,where", "--wordings", "1")  # none of them refers to an earlier turn
SETS = {  # name -> flags of `exact build`
    "captions": ("--telling", "captions", "--dialogues", "3000"),
    "places": ("--telling", "places", "--dialogues", "3000"),
    "single": ("--telling", "single", "--dialogues", "3000", "--images", "1", "--turns", "6", *_ONE_QUESTION),
    "dialogues": ("--telling", "linked", "--dialogues", "3000", "--images", "1-3", "--turns", "6", *_ONE_QUESTION),
    "words": ("--telling", "linked", "--dialogues", "300", "--images", "1-3", "--turns", "12"),  # for the tokenizer
    "test": ("--telling", "linked", "--dialogues", "100", "--images", "1-3", "--turns", "6", *_ONE_QUESTION),
}
_COMMON = "--precision float32 --bin_tokens 4096 --warmup_percent 5 --log_every_steps 100".split()


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
        weights = [str(weight) for weight in self.weights.values()]
        return ["--data", *places, "--data_weights", *weights, *_COMMON, *self.flags.split()]


_CARD = """---
license: cc0-1.0
library_name: transformers
pipeline_tag: image-text-to-text
---

# mini

A vision-language model of {num_weights:,} weights that reads the plain images of the controlled world (MMCR-Exact): the
true Qwen3-VL classes, trained from random weights on generated images alone. For tests, demos and experiments on a CPU;
it knows nothing else.

Made by `python -m experiments.mini --output_dir training/mini --seed {seed} --domains {domains}` in {cpu_s:,} CPU
seconds: captions of images, single questions, dialogues of questions without references. Their wordings are the first
of each operator; 6 colours, 4 shapes, 2x2 cells of 32 pixels.

On held-out scenes, dialogues of six unrelated questions about one to three images, its own replies in the history:

{scores}
"""

LESSONS = (
    Lesson(
        "seeing", {"captions": 1, "places": 2}, "--max_steps 800 --global_batch_dialogues 16 --learning_rate 1.5e-3"
    ),
    Lesson(
        "asking",
        {"single": 5, "places": 1},
        "--max_steps 400 --global_batch_dialogues 96 --learning_rate 1e-3 --lr_schedule constant",
    ),
    Lesson("turns", {"dialogues": 1, "single": 1}, "--max_steps 800 --global_batch_dialogues 32 --learning_rate 1e-3"),
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
            self._step("base", self._write_base(model), lock)
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

    def _write_base(self, folder: Path) -> Command:
        data = [str(self.work_dir / name) for name in SETS if name != "test"]
        words = ["-m", "training", "mini", "--output_dir", str(folder), "--data", *data, "--seed", str(self.seed)]
        return Command([self.python], words)

    def _train(self, lesson: Lesson, model: Path) -> Command:
        ends = ["--model", str(model), "--seed", str(self.seed), "--output_dir", str(self.work_dir / lesson.name)]
        launch = [self.python, "-m", "accelerate.commands.launch", "--quiet", "--cpu", "--num_processes", "1"]
        return Command(launch, [TRAIN, *lesson.to_flags(self.work_dir), *ends, "--resume", "true"])

    def _evaluate(self, model: Path) -> Command:
        asked = ["--model", f"hf:{model}", "--tasks", "mmcr_exact", "--data", f"mmcr_exact={self.work_dir / 'test'}"]
        return Command(
            [self.python],
            ["-m", "eval_tasks", *asked, "--max_new_tokens", "16", "--output_dir", str(self.work_dir / "eval")],
        )

    def _publish(self, model: Path) -> None:
        """Write the model and its card beside `output_dir`, then take its place."""
        new = self.output_dir.with_name(self.output_dir.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        leave = shutil.ignore_patterns("README.md", "training*", "*.png", "run.json")  # of the last lesson alone
        shutil.copytree(model, new, ignore=leave)
        (new / "README.md").write_text(self._card(model), encoding="utf-8")
        shutil.rmtree(self.output_dir, ignore_errors=True)
        new.rename(self.output_dir)
        size = sum(path.stat().st_size for path in self.output_dir.iterdir())
        print(f"{self.output_dir}: {size / 1e6:.1f} MB")

    def _card(self, model: Path) -> str:
        from safetensors import safe_open

        from eval_tasks.report.tables import run_table
        from eval_tasks.store.run_folder import read_results

        with safe_open(model / "model.safetensors", "pt") as file:
            num_weights = sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        cpu_s = sum(int(path.read_text(encoding="utf-8")) for path in (self.work_dir / "steps").glob("*.cpu_s"))
        head, line, *rows = run_table(read_results(self.work_dir / "eval"), digits=1).splitlines()
        scores = "\n".join([head, line, *(row for row in rows if "| accuracy |" in row or "| op_" in row)])
        return _CARD.format(seed=self.seed, domains=self.domains, cpu_s=cpu_s, num_weights=num_weights, scores=scores)


PROGRAM = Program("python -m experiments.mini", Mini.__doc__ or "", {}, "eval", default="experiments.mini:Mini")

if __name__ == "__main__":
    sys.exit(run_program(PROGRAM))
