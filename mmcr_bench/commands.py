"""The commands build, freeze and agreement of python -m mmcr_bench: dataclasses of their flags, whose `run` prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from mmcr_dataset.record.recipe import RecipeName

Dataset = Annotated[Path, arg(metavar="DATASET")]
ReviewFile = Annotated[Path, arg(metavar="REVIEW")]


@dataclass(frozen=True)
class Build:
    """Draw the bench from a data set, and remove it from the data set (decontamination).

    Attributes:
        dataset: folder written by `python -m mmcr_dataset build`.
        output_dir: folder of the bench.
        single: single-image dialogues per topic.
        multi: multi-image dialogues (2 to 4 images) per topic.
        seed: seed of the draw.
        overwrite: replace an existing bench; its dialogues can be redrawn.
        labels: labels file written by `tag`; needs --topics.
        topics: topics file written by `topics`; without it the topics of the rows are used, if any.
        recipe: whose card is written, and with mmdu MMDU's own files too.
    """

    dataset: Positional[Dataset]
    output_dir: Path = Path("mmcr-bench")
    single: int = 10
    multi: int = 5
    seed: int = 0
    overwrite: bool = False
    labels: Path | None = None
    topics: Path | None = None
    recipe: RecipeName = "mmcr"

    def run(self) -> None:
        """Draw the bench and print what was drawn and which topics fall short.

        Raises:
            ValueError: only one of --labels and --topics is given.
        """
        from mmcr_bench.build import build_bench
        from mmcr_bench.select.topics import load_tagging

        tagging = None
        if self.topics is not None and self.labels is not None:
            tagging = load_tagging(self.labels, self.topics)
        elif self.topics is not None or self.labels is not None:
            raise ValueError("--labels and --topics need each other: give both or neither")
        drawn = build_bench(
            self.dataset,
            self.output_dir,
            self.single,
            self.multi,
            self.seed,
            overwrite=self.overwrite,
            tagging=tagging,
            recipe=self.recipe,
        )
        print(drawn.show())


@dataclass(frozen=True)
class Freeze:
    """Write the passed items of a review as an immutable version, or verify a bench folder against its checksums.

    Attributes:
        review: SQLite file of the finished review.
        output_dir: new folder.
        version: version number of the bench, X.Y.Z.
        check: verify this bench folder against its checksums instead.
        accept_gap: item that has not passed, or topic of such items, that this version may lack: NAME=REASON, which
            stands on the card; may be repeated.
    """

    review: Positional[ReviewFile | None] = None
    output_dir: Path | None = None
    version: str = "1.0.0"
    check: Annotated[Path | None, arg(metavar="FOLDER")] = None
    accept_gap: UseAppendAction[tuple[str, ...]] = ()

    def run(self) -> None:
        """Write or verify, and print the result.

        Raises:
            ValueError: neither a review with an output folder nor --check is given, or a gap has no reason.
        """
        from mmcr_bench.freeze import check_frozen, freeze_review

        if self.check is not None:
            print(check_frozen(self.check))
        elif self.review is None or self.output_dir is None:
            raise ValueError("give a REVIEW and --output_dir, or a folder to --check")
        else:
            gaps = dict(gap.partition("=")[::2] for gap in self.accept_gap)
            print(freeze_review(self.review, self.output_dir, self.version, gaps))


@dataclass(frozen=True)
class Agreement:
    """Inter-annotator agreement of the experts (REVIEW), or of a judge with the experts (--run and --experts).

    Attributes:
        review: SQLite file of the review.
        run_folder: judged run of `python -m eval_tasks`.
        experts: JSON lines file with the experts' scores of the same replies.
        figure: plot the judge's calibration into this .png or .svg.
    """

    review: Positional[ReviewFile | None] = None
    run_folder: Annotated[Path | None, arg(name="run")] = None
    experts: Path | None = None
    figure: Path | None = None

    def run(self) -> None:
        """Print the agreement with confidence intervals.

        Raises:
            ValueError: neither a review nor a run with experts is given, or run and experts share no dimension.
        """
        if self.review is not None:
            from mmcr_bench.review.commands import open_review
            from mmcr_bench.review.progress import AGREEMENT_COLUMNS, show_agreement
            from mmcr_dataset.publish.markdown_table import to_table

            rows = show_agreement(open_review(self.review), num_resamples=2000)
            print(to_table(AGREEMENT_COLUMNS, [row for row in rows if len(row) > 1]))
            for row in rows:
                if len(row) == 1:
                    print(f"\n{row[0]}")
        elif self.run_folder is None or self.experts is None:
            raise ValueError("give a REVIEW, or --run and --experts")
        else:
            self._compare_judge(self.run_folder, self.experts)

    def _compare_judge(self, run: Path, experts: Path) -> None:
        from mmcr_bench.trust.ceiling import show_ceiling
        from mmcr_bench.trust.runs import DIMENSIONS_OF, find_task, read_each_expert, read_expert_scores, read_run
        from mmcr_bench.trust.score_pairs import compare_scorers, show_comparisons

        task = find_task(run)
        judged = read_run(run, task=task)
        expert = read_expert_scores(experts, DIMENSIONS_OF[task], judged.name)
        scored = dict.fromkeys(name for given in expert.values() for name in given)
        names = [name for name in scored if any(name in given for given in judged.scores.values())]
        if not names:
            raise ValueError(f"{run} and {experts} have no dimension in common; was the run judged by a rubric?")
        topics = {dialogue.id: dialogue.topic or dialogue.id for dialogue in judged.dialogues}
        found = compare_scorers(judged.scores, expert, names, topics=topics)
        if self.figure is not None:
            from mmcr_bench.trust.calibration_figure import draw_calibration

            draw_calibration(found, "judge", "experts", self.figure)
        print(show_comparisons(found, "judge", "experts"))
        print(show_ceiling(judged.scores, read_each_expert(experts, DIMENSIONS_OF[task], judged.name), names))
