"""Compare two training data sets at equal volume: the paper's Table 5, for MMDU and MMCR or any other two.

    python -m experiments.mmdu_or_mmcr --config training/recipes/ovis2_1b.yaml --data mmdu-45k mmcr-310k --rows 45000 \
        --tasks public --eval_flags '--data LMUData' --seeds 0 1 2 --output_dir out/mmdu_or_mmcr

Equal volume is the same number of dialogues (paper: about 45,000 and 50,000), or with `--equal trained_tokens` the same
number of tokens with loss, for which dry runs of both sets are run first.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.arm import Arm, Experiment
from experiments.conduct import Conductor, ExperimentSettings, main
from experiments.volumes import equal_rows, equal_token_rows

_PAPER = {"mmdu": "Ovis-1B+MMDU", "mmcr": "Ovis-1B+MMCR"}


@dataclass(frozen=True, kw_only=True)
class MmduOrMmcr(ExperimentSettings):
    """Two data sets at equal volume (the paper's Table 5).

    Attributes:
        rows: maximum number of dialogues of each set; default the size of the smaller one.
        equal: unit of equal volume.
    """

    rows: int | None = None
    equal: Literal["dialogues", "trained_tokens"] = "dialogues"

    def plan(self, conductor: Conductor) -> Experiment:
        """An arm for each data set.

        Raises:
            ValueError: not two data sets, or one is too small.
        """
        if len(self.data) != 2:
            raise ValueError(f"--data names {len(self.data)} sets, expected the two to compare")
        names = [Path(place).name.replace(" ", "_") for place in self.data]
        caps: list[int | None]
        if self.equal == "dialogues":
            equal = equal_rows({place: conductor.count_rows(place) for place in self.data}, self.rows)
            caps, note = [equal, equal], f"Each arm trains on {equal:,} dialogues; trained tokens differ."
        else:
            runs = [conductor.dry_run(name, ["--data", place]) for name, place in zip(names, self.data, strict=True)]
            found = [run for run in runs if run is not None]
            caps = [*equal_token_rows(found, self.rows)] if len(found) == 2 else [None, None]
            means = " and ".join(f"{run.tokens_a_dialogue:,.0f} ({run.dialogues:,} dialogues)" for run in found)
            shown = means or "not counted yet"
            note = f"Arms train on equal numbers of tokens with loss, by their mean per dialogue: {shown}."
        paper = {name: model for word, model in _PAPER.items() for name in names if word in name.lower()}
        return Experiment(
            title=f"{names[0]} or {names[1]} at equal volume",
            arms=[Arm(name, name, [place], [cap]) for name, place, cap in zip(names, self.data, caps, strict=True)],
            against=names[0],
            notes=[note],
            paper={"base": "Ovis-1B", **paper} if len(set(paper.values())) == len(_PAPER) else {},
        )


if __name__ == "__main__":
    sys.exit(main(MmduOrMmcr))
