"""Compare two training data sets at equal volume: the paper's Table 5, for MMDU and MMCR or any other two.

    python -m experiments.mmdu_or_mmcr --config training/recipes/ovis2_1b.yaml --data mmdu-45k mmcr-310k --rows 45000 \
        --tasks public --eval_flags '--data LMUData' --seeds 0 1 2 --output_dir out/mmdu_or_mmcr

Equal volume is the same number of dialogues (paper: about 45,000 and 50,000), or with `--equal trained_tokens` the same
number of tokens with loss, for which dry runs of both sets are run first; `--equal images` and `turns` count those.

    python -m experiments.mmdu_or_mmcr --source made_wiki:200 --equal images --seeds 0 1 2 --output_dir out/recipes

With `--source` both sets are built from the same documents, one page a dialogue (MMCR) and related images clustered
(MMDU), and all arms are evaluated on a bench of each recipe and on the controlled world.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from experiments.arm import Arm, Experiment
from experiments.conduct import Conductor, ExperimentSettings, conduct, main
from experiments.mmdu_sets import MMCR, MMDU, SourceSets, equal_by_mean, mean_of
from experiments.volumes import equal_rows, equal_token_rows

_PAPER = {"mmdu": "Ovis-1B+MMDU", "mmcr": "Ovis-1B+MMCR"}
_OF_SOURCE = "sets"
_UNITS = {"images": "num_images", "turns": "num_turns"}
_CAVEATS = (
    "Each bench shares its templates and writer with one arm; the controlled world shares them with none. Read the "
    "three together.",
    "With the offline writer the references are template sentences: the experiment shows that the machinery compares "
    "fairly, nothing about the two recipes.",
)


@dataclass(frozen=True, kw_only=True)
class MmduOrMmcr(ExperimentSettings):
    """Two data sets at equal volume (the paper's Table 5).

    Attributes:
        config: training recipe, the same for all arms.
        data: two data sets; leave it out with --source.
        source: build both sets from these documents, as of `python -m mmcr_dataset build`; made_wiki:N makes up a wiki.
        build_flags: flags of that build for both recipes, quoted.
        cluster_flags: its flags for the recipe mmdu alone, quoted.
        bench_items: dialogues of each recipe's bench.
        test_dialogues: dialogues of the controlled world's test set.
        steps: optimizer steps of an epoch, the same in both arms; the batch sizes follow from it.
        rows: maximum number of dialogues of each set; default the size of the smaller one.
        equal: unit of equal volume.
    """

    config: str = "training/recipes/mini_cpu.yaml"
    data: tuple[str, ...] = (_OF_SOURCE,)
    source: Annotated[str | None, arg(metavar="[KIND:]PLACE")] = None
    build_flags: Annotated[str, arg(metavar="'FLAGS'")] = "--writer offline --filter none"
    cluster_flags: Annotated[str, arg(metavar="'FLAGS'")] = "--embedder offline --cluster_images_max 6"
    bench_items: int = 20
    test_dialogues: int = 60
    steps: int = 16
    rows: int | None = None
    equal: Literal["dialogues", "images", "turns", "trained_tokens"] = "dialogues"

    def run(self) -> int:
        """Build the sets of a source, then train and evaluate the arms; returns 1 if an arm failed."""
        if self.source is None:
            return conduct(self)
        if self.bench_items < 2 or self.steps < 1:
            raise ValueError(f"--bench_items {self.bench_items} --steps {self.steps}: expected at least 2 and 1")
        sets = self._sets(self.source)
        if self.dry_run and not sets.world.is_dir():
            for name, words in sets.steps():
                print(f"{name}: {shlex.join([self.python, '-m', *words])}")
            print("dry run: the sets aren't built, so that the arms aren't known")
            return 0
        if not self.dry_run:
            sets.build()
        tasks, places = sets.tasks(self.judge)
        ready = replace(
            self,
            data=(str(sets.place(MMCR)), str(sets.place(MMDU))),
            tasks=tasks,
            eval_flags=shlex.join([*shlex.split(self.eval_flags), *places]),
            train_flags=self.train_flags or "--max_steps 0 --epochs 4 --bin_tokens 8192",
        )
        return conduct(ready)

    def _sets(self, source: str) -> SourceSets:
        flags, of_clusters = shlex.split(self.build_flags), shlex.split(self.cluster_flags)
        return SourceSets(self.out, source, flags, of_clusters, self.bench_items, self.test_dialogues, self.python)

    def plan(self, conductor: Conductor) -> Experiment:
        """An arm for each data set.

        Raises:
            ValueError: not two data sets, or one is too small.
        """
        if len(self.data) != 2:
            raise ValueError(f"--data names {len(self.data)} sets, expected the two to compare, or --source")
        names = [Path(place).name.replace(" ", "_") for place in self.data]
        caps, note = self._volumes(conductor, names)
        flags = [self._batch(cap) for cap in caps]
        paper = {name: model for word, model in _PAPER.items() for name in names if word in name.lower()}
        is_paper = self.source is None and len(set(paper.values())) == len(_PAPER)
        return Experiment(
            title=f"{names[0]} or {names[1]} at equal volume",
            arms=[
                Arm(name, name, [place], [cap], more)
                for name, place, cap, more in zip(names, self.data, caps, flags, strict=True)
            ],
            against=names[0],
            notes=[note, *(_CAVEATS if self.source else ())],
            paper={"base": "Ovis-1B", **paper} if is_paper else {},
        )

    def _volumes(self, conductor: Conductor, names: list[str]) -> tuple[list[int | None], str]:
        """Rows of each arm, and a sentence on what is equal."""
        if self.equal == "dialogues":
            equal = equal_rows({place: conductor.count_rows(place) for place in self.data}, self.rows)
            return [equal, equal], f"Each arm trains on {equal:,} dialogues; trained tokens differ."
        if self.equal != "trained_tokens":
            unit = self.equal
            found = [mean_of(place, _UNITS[unit]) for place in self.data]
            caps = equal_by_mean(found, self.rows)
            means = " and ".join(f"{mean:.2f} in {name}" for name, (_, mean) in zip(names, found, strict=True))
            total = caps[0] * found[0][1]
            return [*caps], f"Each arm trains on about {total:,.0f} {unit}, by their mean per dialogue: {means}."
        runs = [conductor.dry_run(name, ["--data", place]) for name, place in zip(names, self.data, strict=True)]
        known = [run for run in runs if run is not None]
        rows: list[int | None] = [*equal_token_rows(known, self.rows)] if len(known) == 2 else [None, None]
        shown = " and ".join(f"{run.tokens_a_dialogue:,.0f} ({run.dialogues:,} dialogues)" for run in known)
        shown = shown or "not counted yet"
        return rows, f"Arms train on equal numbers of tokens with loss, by their mean per dialogue: {shown}."

    def _batch(self, cap: int | None) -> list[str]:
        """With --source: a batch size that gives every arm as many steps."""
        if self.source is None or cap is None:
            return []
        return ["--global_batch_dialogues", str(max(1, -(-cap // self.steps)))]


if __name__ == "__main__":
    sys.exit(main(MmduOrMmcr))
