"""The commands of python -m mmcr_bench that validate a judge: dataclasses of their flags; `run` prints the result."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

log = logging.getLogger(__name__)

JUDGE_LEDGER = Path("judge_ledger.sqlite3")


@dataclass(frozen=True)
class Canaries:
    """Check a judge on canaries, replies of known quality; exit code 1 if it fails.

    Attributes:
        bench: folder or Hub id of the bench.
        judge: api:URL#MODEL, or a comma-separated panel.
        judge_prompt: ours or paper (structure and scale of the paper's Figure 8).
        split: split of the bench.
        limit: number of dialogues to make canaries from, spread over the bench.
        world: folder or Hub id of a set of the controlled world: facts whose truth is computed are changed, too.
        ledger: SQLite file that stores paid judgements.
        max_cost_usd: stop before the ledger exceeds so many US dollars.
        allow_unknown_price: ask a judge whose price is not known.
    """

    bench: Positional[Annotated[str, arg(metavar="BENCH")]]
    judge: str
    judge_prompt: str | None = None
    split: str = "test"
    limit: int = 30
    world: Annotated[str | None, arg(metavar="SET")] = None
    ledger: Path = JUDGE_LEDGER
    max_cost_usd: float | None = None
    allow_unknown_price: bool = False

    def run(self) -> int:
        """Print each canary's mean score and whether the judge passed."""
        from mmcr_bench.judge.judge import open_judge, show_cost
        from mmcr_bench.judge.judge_spec import with_prompt
        from mmcr_bench.judge.spending import spending
        from mmcr_bench.trust.canaries import check_judge, make_canaries
        from mmcr_bench.trust.canary_replies import choose_dialogues
        from mmcr_dataset.record.load import load_dialogues

        if self.limit < 2:
            raise ValueError(f"--limit {self.limit}: expected at least 2 dialogues, whose replies are swapped")
        dialogues = choose_dialogues(list(load_dialogues(self.bench, split=self.split)), self.limit)
        world = [] if self.world is None else list(load_dialogues(self.world, split=self.split))
        world = choose_dialogues(world, self.limit, like=dialogues)
        with spending(self.max_cost_usd, self.allow_unknown_price):
            judge = open_judge(with_prompt(self.judge, self.judge_prompt), self.ledger)
            usable, asked = make_canaries(dialogues, world)
            log.info("%s", show_cost(judge, [usable[one.number] for one in asked], [one.replies for one in asked]))
            fitness = check_judge(judge, dialogues, world)
        print(fitness.show())
        return 0 if fitness.is_fit else 1


@dataclass(frozen=True)
class Biases:
    """Measure nine biases of multimodal judges (arXiv 2604.18164): are question, image and reply read together?

    Attributes:
        bench: folder or Hub id of the bench.
        judge: api:URL#MODEL?images=yes, or a comma-separated panel; without images=yes four biases are asked.
        split: split of the bench.
        limit: number of dialogues, spread over the bench.
        ledger: SQLite file that stores paid judgements.
        max_cost_usd: stop before the ledger exceeds so many US dollars.
        allow_unknown_price: ask a judge whose price is not known.
    """

    bench: Positional[Annotated[str, arg(metavar="BENCH")]]
    judge: str
    split: str = "test"
    limit: int = 30
    ledger: Path = JUDGE_LEDGER
    max_cost_usd: float | None = None
    allow_unknown_price: bool = False

    def run(self) -> None:
        """Print the table of biases."""
        from mmcr_bench.judge.judge import open_judge, show_cost
        from mmcr_bench.judge.spending import spending
        from mmcr_bench.trust.canary_replies import choose_dialogues
        from mmcr_bench.trust.judge_biases import make_biased, measure_biases
        from mmcr_dataset.record.load import load_dialogues

        dialogues = choose_dialogues(list(load_dialogues(self.bench, split=self.split)), self.limit)
        with spending(self.max_cost_usd, self.allow_unknown_price):
            judge = open_judge(self.judge, self.ledger)
            asked, _ = make_biased(judge, dialogues)
            replies = [dialogues[number].references for _, number, _ in asked]
            log.info("%s", show_cost(judge, [one for _, _, one in asked], replies))
            print(measure_biases(judge, dialogues).show())


@dataclass(frozen=True)
class Penalties:
    """Compare the score penalties a judge applied with those its rubric requires.

    Attributes:
        run_folder: judged run of `python -m eval_tasks`.
    """

    run_folder: Positional[Annotated[Path, arg(metavar="RUN")]]

    def run(self) -> None:
        """Print the measured and the expected penalties."""
        from mmcr_bench.trust.penalty_report import measure_effects, show_effects
        from mmcr_bench.trust.runs import read_run

        print(show_effects(measure_effects(read_run(self.run_folder))))


@dataclass(frozen=True)
class Bridge:
    """Score a judged run with a new judge: mean shift, rank correlation, linear mapping between the scales.

    Attributes:
        old: run scored by the old judge.
        new: the new judge: api:URL#MODEL, or a comma-separated panel.
        judge_prompt: ours or paper (structure and scale of the paper's Figure 8).
        output_file: JSON file of the mapping.
        bench: folder or Hub id with the images, for judges with ?images=yes.
        ledger: SQLite file that stores paid judgements.
        max_cost_usd: stop before the ledger exceeds so many US dollars.
        allow_unknown_price: ask a judge whose price is not known.
    """

    old: Annotated[Path, arg(metavar="RUN")]
    new: Annotated[str, arg(metavar="JUDGE")]
    judge_prompt: str | None = None
    output_file: Path = Path("bridge.json")
    bench: str | None = None
    ledger: Path = JUDGE_LEDGER
    max_cost_usd: float | None = None
    allow_unknown_price: bool = False

    def run(self) -> None:
        """Print the comparison of the two judges."""
        from mmcr_bench.judge.judge import open_judge, show_cost
        from mmcr_bench.judge.judge_spec import with_prompt
        from mmcr_bench.judge.spending import spending
        from mmcr_bench.trust.bridge import bridge_judges
        from mmcr_bench.trust.runs import read_run

        with spending(self.max_cost_usd, self.allow_unknown_price):
            run = read_run(self.old, self.bench)
            judge = open_judge(with_prompt(self.new, self.judge_prompt), self.ledger)
            log.info("%s", show_cost(judge, run.dialogues, run.replies))
            print(bridge_judges(run, judge, self.output_file))


@dataclass(frozen=True)
class Drift:
    """Judge the same replies again, and chart the shifts since the first check; exit code 1 if the last is out.

    Attributes:
        folder: folder of the history, made by the first check.
        run_folder: run with the replies; the same one in every check.
        judge: api:URL#MODEL, or a comma-separated panel.
        judge_prompt: ours or paper (structure and scale of the paper's Figure 8).
        limit: number of dialogues, drawn by a hash of their ids.
        max_cost_usd: stop before the check exceeds so many US dollars.
        allow_unknown_price: ask a judge whose price is not known.
    """

    folder: Positional[Annotated[Path, arg(metavar="FOLDER")]]
    run_folder: Annotated[Path, arg(name="run", metavar="RUN")]
    judge: str
    judge_prompt: str | None = None
    limit: int = 60
    max_cost_usd: float | None = None
    allow_unknown_price: bool = False

    def run(self) -> int:
        """Print the control chart.

        Raises:
            ValueError: the history is of other anchors or another judge, or the judge gave too few verdicts.
        """
        from mmcr_bench.judge.judge_spec import with_prompt
        from mmcr_bench.judge.spending import spending
        from mmcr_bench.trust.drift import check_drift, measure_shift, show_chart
        from mmcr_bench.trust.runs import read_run

        with spending(self.max_cost_usd, self.allow_unknown_price):
            spec = with_prompt(self.judge, self.judge_prompt)
            history = check_drift(self.folder, read_run(self.run_folder), self.limit, spec)
        print(show_chart(history))
        last = measure_shift(history[0], history[-1])
        return 1 if last is not None and last.is_out else 0


@dataclass(frozen=True)
class Anchors:
    """Store replies of a run as the anchors of a bench: every judged run on the bench then judges them again.

    Attributes:
        bench: folder or Hub id of the bench.
        run_folder: run on this bench with the replies.
        limit: number of dialogues, drawn by a hash of their ids.
    """

    bench: Positional[Annotated[str, arg(metavar="BENCH")]]
    run_folder: Annotated[Path, arg(name="run", metavar="RUN")]
    limit: int = 60

    def run(self) -> None:
        """Write them, and print where.

        Raises:
            ValueError: the bench has anchors, the run is of another bench, or has too few answered dialogues.
        """
        from mmcr_bench.trust.anchors import make_anchors

        folder, num = make_anchors(self.bench, self.run_folder, self.limit)
        print(f"{folder}: {num} anchors, judged again in every judged run on {self.bench}")


@dataclass(frozen=True)
class SelfPreference:
    """Measure the self-preference bias of judges: do they favour models of their own family?

    Attributes:
        runs: one judged run per model, as FAMILY=RUN; repeat the flag.
        judges: one judge per family, as FAMILY=SPEC; repeat the flag.
        generator: model family that wrote the references.
        bench: folder or Hub id with the images, for judges with ?images=yes.
        ledger: SQLite file that stores paid judgements.
        max_cost_usd: stop before the ledger exceeds so many US dollars.
        allow_unknown_price: ask a judge whose price is not known.
    """

    runs: Annotated[tuple[str, ...], arg(name="run", metavar="FAMILY=RUN"), UseAppendAction]
    judges: Annotated[tuple[str, ...], arg(name="judge", metavar="FAMILY=SPEC"), UseAppendAction]
    generator: Annotated[str | None, arg(metavar="FAMILY")] = None
    bench: str | None = None
    ledger: Path = JUDGE_LEDGER
    max_cost_usd: float | None = None
    allow_unknown_price: bool = False

    def run(self) -> None:
        """Print the bias of each judge with its confidence interval.

        Raises:
            ValueError: two runs or two judges have the same family and name, or a run or judge can't be opened.
        """
        from mmcr_bench.judge.judge import open_judge
        from mmcr_bench.judge.spending import spending
        from mmcr_bench.trust.runs import read_run
        from mmcr_bench.trust.self_preference import Member, show_study, study_self_preference

        folders = [(family, Path(folder)) for family, folder in map(_split_family, self.runs)]
        read = {Member(family, folder.name): read_run(folder, self.bench) for family, folder in folders}
        with spending(self.max_cost_usd, self.allow_unknown_price):
            opened = [(family, open_judge(spec, self.ledger)) for family, spec in map(_split_family, self.judges)]
            named = {Member(family, judge.name): judge for family, judge in opened}
            if len(read) < len(folders) or len(named) < len(opened):
                raise ValueError("two runs or two judges have the same family and name; they must be unique")
            costs = [judge.estimate_usd(run.dialogues, run.replies) for _, judge in opened for run in read.values()]
            known = [cost for cost in costs if cost is not None]
            usd, unknown = sum(known), len(costs) - len(known)
            log.info("about %.2f USD, %d prices unknown, less what %s holds", usd, unknown, self.ledger)
            print(show_study(study_self_preference(read, named), self.generator))


def _split_family(text: str) -> tuple[str, str]:
    family, mark, rest = text.partition("=")
    if not mark or not family or not rest:
        raise ValueError(f"{text!r}: expected FAMILY=RUN_FOLDER or FAMILY=SPEC, such as qwen=runs/qwen2.5-vl-3b")
    return family, rest
