"""The commands of python -m mmcr_bench except `review`: dataclasses of their flags, whose `run` prints the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

JUDGE_LEDGER = Path("judge_ledger.sqlite3")
Dataset = Annotated[Path, arg(metavar="DATASET")]
ReviewFile = Annotated[Path, arg(metavar="REVIEW")]


@dataclass(frozen=True)
class Tag:
    """Label every image of a data set from coarse to fine; an interrupted run resumes.

    Attributes:
        dataset: folder of the data set.
        labels: output file, JSON lines, one dialogue per line.
        model: a timm classifier, such as mobilenetv3_large_100.miil_in21k; the default needs no download.
    """

    dataset: Positional[Dataset]
    labels: Path = Path("labels.jsonl")
    model: str = "efficientnet_lite0"

    def run(self) -> None:
        """Label the images and print how many were labeled."""
        from mmcr_bench.select.commands import tag

        print(tag(self.dataset, self.labels, self.model))


@dataclass(frozen=True)
class Topics:
    """Sort the labels into eight domains and choose five topics of each.

    Attributes:
        dataset: folder of the data set.
        labels: labels file written by `tag`.
        output_file: JSON file of the topics, to be reviewed and edited.
        per_domain: number of topics per domain.
        sorter: offline (WordNet) or api:URL#MODEL.
        ledger: SQLite file that stores paid replies.
        figure: plot the topic distribution into this .png or .svg.
    """

    dataset: Positional[Dataset]
    labels: Path = Path("labels.jsonl")
    output_file: Path = Path("topics.json")
    per_domain: int = 5
    sorter: str = "offline"
    ledger: Path = Path("topics_ledger.sqlite3")
    figure: Path | None = None

    def run(self) -> None:
        """Choose the topics and print the number of dialogues of each."""
        from mmcr_bench.select.commands import topics

        print(
            topics(self.dataset, self.labels, self.output_file, self.sorter, self.ledger, self.per_domain, self.figure)
        )


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
    """

    dataset: Positional[Dataset]
    output_dir: Path = Path("mmcr-bench")
    single: int = 10
    multi: int = 5
    seed: int = 0
    overwrite: bool = False
    labels: Path | None = None
    topics: Path | None = None

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
    """

    review: Positional[ReviewFile | None] = None
    output_dir: Path | None = None
    version: str = "1.0.0"
    check: Annotated[Path | None, arg(metavar="FOLDER")] = None

    def run(self) -> None:
        """Write or verify, and print the result.

        Raises:
            ValueError: neither a review with an output folder nor --check is given.
        """
        from mmcr_bench.freeze import check_frozen, freeze_review

        if self.check is not None:
            print(check_frozen(self.check))
        elif self.review is None or self.output_dir is None:
            raise ValueError("give a REVIEW and --output_dir, or a folder to --check")
        else:
            print(freeze_review(self.review, self.output_dir, self.version))


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
            ValueError: neither a review nor a run with experts is given.
        """
        from mmcr_bench.review.commands import agreement
        from mmcr_bench.trust import commands

        if self.review is not None:
            print(agreement(self.review))
        elif self.run_folder is None or self.experts is None:
            raise ValueError("give a REVIEW, or --run and --experts")
        else:
            print(commands.judge_agreement(self.run_folder, self.experts, self.figure))


@dataclass(frozen=True)
class Canaries:
    """Check a judge on canaries, replies of known quality; exit code 1 if it fails.

    Attributes:
        bench: folder or Hub id of the bench.
        judge: api:URL#MODEL, or a comma-separated panel.
        split: split of the bench.
        limit: number of dialogues to make canaries from.
        ledger: SQLite file that stores paid judgements.
    """

    bench: Positional[Annotated[str, arg(metavar="BENCH")]]
    judge: str
    split: str = "test"
    limit: int = 10
    ledger: Path = JUDGE_LEDGER

    def run(self) -> int:
        """Print each canary's mean score and whether the judge passed."""
        from mmcr_bench.trust.commands import canaries

        shown, is_fit = canaries(self.bench, self.split, self.judge, self.ledger, self.limit)
        print(shown)
        return 0 if is_fit else 1


@dataclass(frozen=True)
class Penalties:
    """Compare the score penalties a judge applied with those its rubric requires.

    Attributes:
        run_folder: judged run of `python -m eval_tasks`.
    """

    run_folder: Positional[Annotated[Path, arg(metavar="RUN")]]

    def run(self) -> None:
        """Print the measured and the expected penalties."""
        from mmcr_bench.trust.commands import penalties

        print(penalties(self.run_folder))


@dataclass(frozen=True)
class Bridge:
    """Score a judged run with a new judge: mean shift, rank correlation, linear mapping between the scales.

    Attributes:
        old: run scored by the old judge.
        new: the new judge: api:URL#MODEL, or a comma-separated panel.
        output_file: JSON file of the mapping.
        bench: folder or Hub id with the images, for judges with ?images=yes.
        ledger: SQLite file that stores paid judgements.
    """

    old: Annotated[Path, arg(metavar="RUN")]
    new: Annotated[str, arg(metavar="JUDGE")]
    output_file: Path = Path("bridge.json")
    bench: str | None = None
    ledger: Path = JUDGE_LEDGER

    def run(self) -> None:
        """Print the comparison of the two judges."""
        from mmcr_bench.trust.commands import bridge

        print(bridge(self.old, self.new, self.ledger, self.output_file, self.bench))


@dataclass(frozen=True)
class SelfPreference:
    """Measure the self-preference bias of judges: do they favour models of their own family?

    Attributes:
        runs: one judged run per model, as FAMILY=RUN; repeat the flag.
        judges: one judge per family, as FAMILY=SPEC; repeat the flag.
        generator: model family that wrote the references.
        bench: folder or Hub id with the images, for judges with ?images=yes.
        ledger: SQLite file that stores paid judgements.
    """

    runs: Annotated[tuple[str, ...], arg(name="run", metavar="FAMILY=RUN"), UseAppendAction]
    judges: Annotated[tuple[str, ...], arg(name="judge", metavar="FAMILY=SPEC"), UseAppendAction]
    generator: Annotated[str | None, arg(metavar="FAMILY")] = None
    bench: str | None = None
    ledger: Path = JUDGE_LEDGER

    def run(self) -> None:
        """Print the bias of each judge with its confidence interval."""
        from mmcr_bench.trust.commands import self_preference

        print(self_preference(self.runs, self.judges, self.generator, self.ledger, self.bench))
