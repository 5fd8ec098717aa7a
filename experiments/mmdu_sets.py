"""Both recipes' sets from the same documents, a bench of each, and the controlled world: for `mmdu_or_mmcr --source`.

A bench shares its templates with the recipe it was drawn from, so neither decides alone: every arm is evaluated on both
and on the controlled world, which shares nothing with either. Dialogues that show an image of one of the benches are in
no training set, whichever recipe wrote them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.commands import Command
from experiments.exact_world import WORLD
from experiments.runs import exit_on_sigterm, lock_folder, run_step

MADE_WIKI = "made_wiki:"
MMCR, MMDU = "mmcr", "mmdu"


@dataclass(frozen=True)
class SourceSets:
    """The sets of one source.

    Attributes:
        out: folder of the experiment.
        source: a `--source` of the data set, or made_wiki:N.
        build_flags: flags of `mmcr_dataset build` for both recipes.
        cluster_flags: more flags, for the recipe mmdu.
        bench_items: dialogues of each bench.
        test_dialogues: dialogues of the controlled world's test set.
        python: interpreter.
    """

    out: Path
    source: str
    build_flags: Sequence[str]
    cluster_flags: Sequence[str]
    bench_items: int
    test_dialogues: int
    python: str

    def place(self, name: str) -> Path:
        """Folder of a training set, by recipe."""
        return self.out / "sets" / name

    def bench(self, name: str) -> Path:
        """Folder of a bench, by recipe."""
        return self.out / "sets" / f"bench_{name}"

    @property
    def world(self) -> Path:
        """Folder of the controlled world's test set."""
        return self.out / "sets" / "world"

    def steps(self) -> Iterator[tuple[str, list[str]]]:
        """Name of each step and the words of its command, in order."""
        source = self.source
        if source.startswith(MADE_WIKI):
            wiki = self.out / "sets" / "wiki"
            yield "wiki", ["mmcr_bench", "mmdu", "wiki", str(wiki), "--pages", source.removeprefix(MADE_WIKI)]
            source = f"wiki:{wiki}"
        for name in (MMCR, MMDU):
            more = ["--recipe", name, *(self.cluster_flags if name == MMDU else ())]
            built = ["build", "--source", source, "--output_dir", str(self.place(name)), *self.build_flags, *more]
            yield f"build_{name}", ["mmcr_dataset", *built]
        halves = {MMCR: (self.bench_items // 2, self.bench_items - self.bench_items // 2), MMDU: (0, self.bench_items)}
        for name, (single, multi) in halves.items():
            drawn = ["--output_dir", str(self.bench(name)), "--single", str(single), "--multi", str(multi)]
            yield f"draw_{name}", ["mmcr_bench", "build", str(self.place(name)), *drawn, "--recipe", name]
        for name, other in ((MMCR, MMDU), (MMDU, MMCR)):
            against = ["--with", str(self.bench(other)), "--remove"]
            yield f"clean_{name}", ["mmcr_dataset", "contamination", str(self.place(name)), *against]
        world = ["--output_dir", str(self.world), "--dialogues", str(self.test_dialogues), "--seed", "1"]
        yield "world", ["mmcr_bench", "exact", "build", *WORLD, "--domains", "shapes", "--images", "1-3", *world]

    def build(self) -> None:
        """Run the steps that aren't done.

        Raises:
            StepFailed: a command failed.
        """
        folder = self.out / "sets"
        with exit_on_sigterm(), lock_folder(folder) as lock:
            for name, words in self.steps():
                run_step(name, Command([self.python], ["-m", *words]), folder, lock)

    def tasks(self, judge: str) -> tuple[str, list[str]]:
        """Tasks and the flags that say where their data is.

        MMDU's bench is asked by the task mmdu, or without a judge model, offline, by the task dialogues: in our form,
        scored by the overlap with the references as MMCR's is.
        """
        of_mmdu = "dialogues" if judge == "offline" else "mmdu"
        data = {"mmcr_bench": self.bench(MMCR), of_mmdu: self.bench(MMDU), "mmcr_exact": self.world}
        return ",".join(data), [f"--data={task}={place}" for task, place in data.items()]


def mean_of(place: str | Path, column: str) -> tuple[int, float]:
    """Number of rows, and the mean of `num_images` or `num_turns`, of a local data set."""
    import numpy as np
    import pyarrow.parquet as pq

    values = [
        value
        for path in sorted(Path(place).rglob("*.parquet"))
        for value in pq.read_table(path, columns=[column], partitioning=None)[column].to_pylist()
    ]
    return len(values), float(np.mean(values))


def equal_by_mean(found: Sequence[tuple[int, float]], rows: int | None) -> list[int]:
    """Rows of each set with equal sums of what was averaged: as many as the set with the least has.

    Args:
        found: rows and mean of each set.
        rows: maximum number of rows of each set.
    """
    least = min(min(count, rows or count) * mean for count, mean in found)
    return [max(1, int(least / mean)) for _, mean in found]
