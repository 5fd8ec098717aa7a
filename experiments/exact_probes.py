"""Do the computed guesses hold? Models that are trained without the images must not beat them.

    python -m experiments.exact_probes --output_dir out/probes --seeds 0 1 2

The best guess without images of a question of MMCR-Exact is computed, from what the words leave open. Two probes look
for what the computation may have forgotten: a model trained and asked with grey images (words alone), and one trained
and asked with images of other scenes. The table has, by operator, the share of the questions that need an image which a
probe answers, and the computed best guess on the same questions. Exit code 1 if a probe is above it.
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from experiments.commands import Command, Commands
from experiments.exact_world import REFERRING, TEST, TRAIN, WORLD
from experiments.runs import exit_on_sigterm, lock_folder, run_step
from mmcr_bench.intervals import Difference
from mmcr_dataset.command_line import Program, run_program

log = logging.getLogger(__name__)

PROBES = {"grey": "words alone", "other": "images of other scenes"}  # --images_show -> label
_SPLITS = {"train": ("--telling", "linked", *TRAIN), TEST: ("--telling", "all")}
_LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class ExactProbes:
    """Train models without the images, and hold what they answer to the computed best guess without images.

    Attributes:
        output_dir: folder of the sets, trainings and evaluations; run again with the same folder to resume.
        seeds: each probe is trained once per seed.
        dialogues: training dialogues.
        test_dialogues: dialogues of the test set.
        config: training recipe.
        train_flags: additional flags of train.py, quoted.
        python: interpreter of all commands.
    """

    output_dir: Path
    seeds: tuple[int, ...] = (0,)
    dialogues: int = 3000
    test_dialogues: int = 300
    config: str = "training/recipes/mini_cpu.yaml"
    train_flags: Annotated[str, arg(metavar="'FLAGS'")] = ""
    python: str = sys.executable

    def run(self) -> int:
        """Build the sets, train and evaluate the probes, print the table; returns 1 if a probe beats the guess."""
        with exit_on_sigterm(), lock_folder(self.output_dir) as lock:
            runs = {PROBES[probe]: self._run_probe(probe, lock) for probe in PROBES}
        table, above = compare_with_guess(runs)
        (self.output_dir / "table.md").write_text(table, encoding="utf-8")
        print(f"{table}\ntable: {self.output_dir / 'table.md'}")
        return 1 if above else 0

    def _run_probe(self, probe: str, lock: int) -> list[Path]:
        """The evaluation of each seed."""
        sets = {name: self.output_dir / "sets" / f"{name}_{probe}" for name in _SPLITS}
        for number, (name, place) in enumerate(sets.items()):
            run_step(f"build_{place.name}", self._build(name, number, place, probe), place.parent, lock)
        asked = ["--data", f"mmcr_exact={sets[TEST]}", "--max_new_tokens", "16"]
        train_flags = shlex.split(self.train_flags)
        commands = Commands(self.python, self.config, "mmcr_exact", train_flags=train_flags, eval_flags=asked)
        found = []
        for seed in self.seeds:
            folder = self.output_dir / probe / f"seed_{seed}"
            log.info("%s, seed %d: logs in %s", PROBES[probe], seed, folder)
            train = commands.train(["--data", str(sets["train"])], seed, folder / "train", None)
            run_step("train", train, folder, lock)
            run_step("eval", commands.evaluate(str(folder / "train" / "final"), folder / "eval"), folder, lock)
            found.append(folder / "eval")
        return found

    def _build(self, name: str, number: int, place: Path, probe: str) -> Command:
        size = self.test_dialogues if name == TEST else self.dialogues
        flags = ["--domains", "shapes", "--images", "1-3", "--turns", "6", "--ops", REFERRING, "--images_show", probe]
        ends = ["--dialogues", str(size), "--seed", str(number), "--output_dir", str(place)]
        return Command([self.python], ["-m", "mmcr_bench", "exact", "build", *WORLD, *flags, *_SPLITS[name], *ends])


def compare_with_guess(runs: Mapping[str, Sequence[Path]]) -> tuple[str, bool]:
    """What the probes answer beside the computed best guess without images, by operator.

    Args:
        runs: label of a probe -> folder of each seed's evaluation.

    Returns:
        A Markdown table, and whether a probe is above the guess in any line (one-sided, corrected by Holm).
    """
    from mmcr_bench.intervals import holm
    from mmcr_dataset.publish.markdown_table import to_table

    found = {(label, op): one for label, folders in runs.items() for op, one in _by_operator(folders)}
    # one-sided: half of the two-sided p-value on the side that counts
    one_sided = {
        str(number): one.p_value / 2 if one.mean > 0 else 1 - one.p_value / 2
        for number, (_, _, _, one) in enumerate(found.values())
    }
    corrected = holm(one_sided)
    rows, above = [], False
    for number, ((label, op), (count, right, guess, one)) in enumerate(found.items()):
        is_above = corrected[str(number)] < _LEVEL
        above |= is_above
        shown = f"{100 * one.mean:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"
        rows.append(
            [label, op, f"{count:,}", f"{100 * right:.1f}", f"{100 * guess:.1f}", shown, "yes" if is_above else ""]
        )
    header = ["probe", "operator", "questions", "probe right, %", "best guess, %", "difference [95 %]", "above"]
    return to_table(header, rows) + "\n", above


def _by_operator(folders: Sequence[Path]) -> Iterator[tuple[str, tuple[int, float, float, Difference]]]:
    """Operator -> questions, share right, mean guess, and the paired difference over dialogues; `all` first."""
    from eval_tasks.exact.figure import read_questions
    from mmcr_bench.intervals import paired_difference

    of_seeds = [read_questions(folder) for folder in folders]
    asked = [one for one in zip(*of_seeds, strict=True) if "image" in one[0].asked["facts"]["needs"]]
    ops = sorted({one[0].asked["op"] for one in asked})
    for op in ["all", *ops]:
        chosen = [one for one in asked if op in ("all", one[0].asked["op"])]
        right = [sum(answer.points for answer in one) / len(one) for one in chosen]
        guess = [float(one[0].asked["guesses"]["text"]) for one in chosen]
        difference = paired_difference(right, guess, [one[0].group for one in chosen])
        yield op, (len(chosen), sum(right) / len(right), sum(guess) / len(guess), difference)


PROGRAM = Program("python -m experiments.exact_probes", ExactProbes.__doc__ or "", {}, "eval",
                  default="experiments.exact_probes:ExactProbes")  # fmt: skip

if __name__ == "__main__":
    sys.exit(run_program(PROGRAM))
