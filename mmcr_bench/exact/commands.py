"""The commands of python -m mmcr_bench exact: each a dataclass of its flags, whose `run` prints the result."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

JUDGE_LEDGER = Path("judge_ledger.sqlite3")
log = logging.getLogger(__name__)
SetFolder = Annotated[Path, arg(metavar="FOLDER")]


@dataclass(frozen=True)
class ExactBuild:
    """Build a set of the controlled world: dialogues about generated images whose answers are computed.

    Attributes:
        output_dir: folder of the set; must not exist.
        dialogues: number of linked dialogues (of rows for captions and places).
        images: images of a dialogue, a number or a range within 1-8.
        turns: turns of a dialogue, a number or a range within 1-24.
        seed: seed of every draw; the same seed and flags give the same bytes.
        style: rich (for real models) or plain (small images, few visual tokens).
        domains: comma-separated: shapes, sheets (photographs), numerals, charts; one named twice is drawn
            twice as often.
        side: sides of the grids, comma-separated: 2, 3; charts have 3 or 4 bars for 2, and 5 or 6 for 3.
        split: train (no held-out scene, combination or wording) or test (held-out scenes).
        telling: all (linked, and the rest as variants), linked, resolved, alone, or the first lessons of a small model:
            single (every question by itself), captions, places.
        guesses: all, or none: faster, nothing is rejected because it can be guessed (training sets).
        images_at: spread (images come up in the first half of the turns, as in MMCR), start (all with the first
            question, as in MMDU), or both (each dialogue one of them).
        images_show: scene; or for probes, which must not beat the best guess without images: other (scenes of other
            dialogues) or grey (nothing).
        ops: comma-separated operators that may be asked; all by default.
        wordings: use the first wordings of each operator only.
        public: build the public set, whose settings and checksums are fixed; leave the other flags as they are.
    """

    output_dir: Path = Path("mmcr-exact")
    dialogues: int = 1000
    images: str = "1-4"
    turns: str = "4-8"
    seed: int = 0
    style: str = "rich"
    domains: str = "shapes,sheets,numerals,charts"
    side: str = "3"
    split: str = "test"
    telling: str = "all"
    guesses: str = "all"
    images_at: str = "spread"
    images_show: str = "scene"
    ops: str | None = None
    wordings: int | None = None
    public: bool = False

    def run(self) -> None:
        """Build the set and print the number of rows of each role.

        Raises:
            ValueError: a flag has an unexpected value, the folder exists, or the public set comes out otherwise.
        """
        if self.public:
            self._build_public()
            return
        from mmcr_bench.exact.build import build_exact
        from mmcr_bench.exact.operators import OPERATORS
        from mmcr_bench.exact.settings import ExactSettings, read_range

        sides = [read_range(side, "--side")[0] for side in self.side.split(",")]
        settings = ExactSettings(
            num_dialogues=self.dialogues,
            images=read_range(self.images, "--images"),
            turns=read_range(self.turns, "--turns"),
            seed=self.seed,
            style=self.style,
            domains=tuple(self.domains.split(",")),
            sides=tuple(sides),
            split=self.split,
            telling=self.telling,
            guesses=self.guesses,
            images_at=self.images_at,
            images_show=self.images_show,
            ops=tuple(OPERATORS) if self.ops is None else tuple(self.ops.split(",")),
            num_wordings=self.wordings,
        )
        print(build_exact(self.output_dir, settings))

    def _build_public(self) -> None:
        from mmcr_bench.exact.public import build_public

        if replace(self, output_dir=ExactBuild.output_dir, public=False) != ExactBuild():
            raise ValueError("--public: the public set has fixed settings; give no other flag than --output_dir")
        print(build_public(self.output_dir))


@dataclass(frozen=True)
class ExactCheck:
    """Compute everything in a set again: answers (by a second solver, too), guesses, limits, balance, pairs.

    Attributes:
        folder: folder of the set.
    """

    folder: Positional[SetFolder]

    def run(self) -> int:
        """Print the tables and every fault; exit code 1 if there is one."""
        from mmcr_bench.exact.check import check_exact

        report = check_exact(self.folder)
        print(report.show())
        return 1 if report.faults else 0


@dataclass(frozen=True)
class ExactShow:
    """Write a page with dialogues of a set: images, questions, answers, programs, what can be guessed.

    Attributes:
        folder: folder of the set.
        ids: ids of rows or of linked dialogues; without any, the first ones.
        number: how many dialogues are shown without ids.
        output_file: the HTML page.
    """

    folder: Positional[SetFolder]
    ids: Positional[tuple[str, ...]] = ()
    number: int = 10
    output_file: Path = Path("exact.html")

    def run(self) -> None:
        """Write the page and print its name."""
        from mmcr_bench.exact.show import show_exact

        print(show_exact(self.folder, self.ids, self.number, self.output_file))


@dataclass(frozen=True)
class ExactJudge:
    """Ask a judge about replies of known truth: right, right in long words, wrong, carried on from an error, refused.

    Attributes:
        folder: folder of a set built with --telling all.
        judge: api:URL#MODEL, or a comma-separated panel.
        judge_prompt: ours or paper (structure and scale of the paper's Figure 8).
        limit: number of dialogues; five or six replies of each are judged.
        seed: seed of the drawn errors.
        figure: plot the scores of each kind of reply into this .png or .svg.
        ledger: SQLite file that stores paid judgements.
        max_cost_usd: stop before the ledger exceeds so many US dollars.
        allow_unknown_price: ask a judge whose price is not known.
    """

    folder: Positional[SetFolder]
    judge: str
    judge_prompt: str | None = None
    limit: int = 40
    seed: int = 0
    figure: Path | None = None
    ledger: Path = JUDGE_LEDGER
    max_cost_usd: float | None = None
    allow_unknown_price: bool = False

    def run(self) -> None:
        """Print the tables.

        Raises:
            ValueError: the folder has no such set, the judge can't be asked, or no verdict could be read.
        """
        from mmcr_bench.exact.exact_set import read_exact
        from mmcr_bench.exact.judge import draw_truth, judge_items, show_truth
        from mmcr_bench.exact.judge_items import make_items
        from mmcr_bench.judge.judge import open_judge, show_cost
        from mmcr_bench.judge.judge_spec import with_prompt
        from mmcr_bench.judge.spending import spending

        if self.limit < 2:
            raise ValueError(f"--limit {self.limit}: expected at least 2 dialogues")
        ids: dict[str, None] = {}
        items = []
        for item in make_items(read_exact(self.folder), self.seed):
            ids[item.dialogue.id] = None
            if len(ids) > self.limit:
                break
            items.append(item)
        with spending(self.max_cost_usd, self.allow_unknown_price):
            judge = open_judge(with_prompt(self.judge, self.judge_prompt), self.ledger)
            log.info("%s", show_cost(judge, [item.dialogue for item in items], [item.replies for item in items]))
            truth = judge_items(judge, items)
        print(show_truth(truth))
        if self.figure is not None:
            draw_truth(truth, self.figure)
            print(f"\nfigure: {self.figure}")
