"""The commands of python -m mmcr_bench but `review`: each a dataclass of its flags, whose `run` prints the result."""

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
    """Label every image of a data set, coarse to fine; resumes where it stopped.

    Attributes:
        dataset: folder of the data set.
        labels: where the labels go, one dialogue a line.
        model: a timm classifier, such as mobilenetv3_large_100.miil_in21k; the default needs no download.
    """

    dataset: Positional[Dataset]
    labels: Path = Path("labels.jsonl")
    model: str = "efficientnet_lite0"

    def run(self) -> None:
        """Label, and print how many."""
        from mmcr_bench.select.commands import tag

        print(tag(self.dataset, self.labels, self.model))


@dataclass(frozen=True)
class Topics:
    """Sort the labels into eight domains and choose five topics of each.

    Attributes:
        dataset: folder of the data set.
        labels: what `tag` wrote.
        output_file: the topics, to read and mend.
        per_domain: topics of each domain.
        sorter: offline (WordNet) or api:URL#MODEL.
        ledger: where paid answers are kept.
        figure: draw the distribution into this .png or .svg.
    """

    dataset: Positional[Dataset]
    labels: Path = Path("labels.jsonl")
    output_file: Path = Path("topics.json")
    per_domain: int = 5
    sorter: str = "offline"
    ledger: Path = Path("topics_ledger.sqlite3")
    figure: Path | None = None

    def run(self) -> None:
        """Choose, and print how many dialogues each topic has."""
        from mmcr_bench.select.commands import topics

        print(
            topics(self.dataset, self.labels, self.output_file, self.sorter, self.ledger, self.per_domain, self.figure)
        )


@dataclass(frozen=True)
class Build:
    """Draw the bench from a data set, and take its images out of the data set: the bench is never trained on.

    Attributes:
        dataset: folder written by `python -m mmcr_dataset build`.
        output_dir: folder of the bench.
        single: dialogues of one image a topic.
        multi: dialogues of 2 to 4 images a topic.
        seed: of the draw.
        overwrite: replace an existing bench; its dialogues can be redrawn.
        labels: from `tag`; with --topics the draw goes by them.
        topics: from `topics`; without it the draw goes by the rows' topics, if any.
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
        """Draw, and print what was drawn and what is short."""
        from mmcr_bench.build import build_bench
        from mmcr_bench.select.topics import load_tagging

        tagging = None
        if self.topics is not None and self.labels is not None:
            tagging = load_tagging(self.labels, self.topics)
        elif self.topics is not None or self.labels is not None:
            raise ValueError("--labels and --topics go together: name both or none")
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
    """Write the passed items of a review as a version that never changes, or check one against its checksums.

    Attributes:
        review: SQLite file of the finished review.
        output_dir: new folder.
        version: of the bench.
        check: a bench folder to compare with its checksums instead.
    """

    review: Positional[ReviewFile | None] = None
    output_dir: Path | None = None
    version: str = "1.0.0"
    check: Annotated[Path | None, arg(metavar="FOLDER")] = None

    def run(self) -> None:
        """Write or check, and print what was found."""
        from mmcr_bench.freeze import check_frozen, freeze_review

        if self.check is not None:
            print(check_frozen(self.check))
        elif self.review is None or self.output_dir is None:
            raise ValueError("name a REVIEW and --output_dir, or a folder to --check")
        else:
            print(freeze_review(self.review, self.output_dir, self.version))


@dataclass(frozen=True)
class Agreement:
    """How far experts agree with each other (REVIEW), or a judge with experts (--run and --experts).

    Attributes:
        review: SQLite file of the review.
        run_folder: judged run of `python -m eval_tasks`.
        experts: their scores of the same replies, one JSON object a line.
        figure: draw the judge's calibration into this .png or .svg.
    """

    review: Positional[ReviewFile | None] = None
    run_folder: Annotated[Path | None, arg(name="run")] = None
    experts: Path | None = None
    figure: Path | None = None

    def run(self) -> None:
        """Print the agreement with its intervals."""
        from mmcr_bench.review.commands import agreement
        from mmcr_bench.trust import commands

        if self.review is not None:
            print(agreement(self.review))
        elif self.run_folder is None or self.experts is None:
            raise ValueError("name a REVIEW, or --run and --experts")
        else:
            print(commands.judge_agreement(self.run_folder, self.experts, self.figure))


@dataclass(frozen=True)
class Canaries:
    """Let a judge score replies of known worth; exit code 1 if it is unfit.

    Attributes:
        bench: folder or Hub id of the bench.
        judge: api:URL#MODEL, or several with commas for a panel.
        split: of the bench.
        limit: dialogues to make canaries from.
        ledger: where paid judgements are kept.
    """

    bench: Positional[Annotated[str, arg(metavar="BENCH")]]
    judge: str
    split: str = "test"
    limit: int = 10
    ledger: Path = JUDGE_LEDGER

    def run(self) -> int:
        """Print each canary's scores and the verdict on the judge."""
        from mmcr_bench.trust.commands import canaries

        shown, is_fit = canaries(self.bench, self.split, self.judge, self.ledger, self.limit)
        print(shown)
        return 0 if is_fit else 1


@dataclass(frozen=True)
class Penalties:
    """Does the judge of a run take off what its rubric says is due?

    Attributes:
        run_folder: judged run of `python -m eval_tasks`.
    """

    run_folder: Positional[Annotated[Path, arg(metavar="RUN")]]

    def run(self) -> None:
        """Print the measured penalties beside those due."""
        from mmcr_bench.trust.commands import penalties

        print(penalties(self.run_folder))


@dataclass(frozen=True)
class Bridge:
    """A new judge on the replies of a judged run: shift, ranks, mapping.

    Attributes:
        old: run that the old judge has scored.
        new: the new judge: api:URL#MODEL, or several with commas for a panel.
        output_file: the mapping.
        bench: folder or Hub id with the images, for judges with ?images=yes.
        ledger: where paid judgements are kept.
    """

    old: Annotated[Path, arg(metavar="RUN")]
    new: Annotated[str, arg(metavar="JUDGE")]
    output_file: Path = Path("bridge.json")
    bench: str | None = None
    ledger: Path = JUDGE_LEDGER

    def run(self) -> None:
        """Print how the two judges differ."""
        from mmcr_bench.trust.commands import bridge

        print(bridge(self.old, self.new, self.ledger, self.output_file, self.bench))


@dataclass(frozen=True)
class SelfPreference:
    """Do judges favour models of their own family?

    Attributes:
        runs: one judged run a model, as FAMILY=RUN; repeat.
        judges: one judge a family, as FAMILY=SPEC; repeat.
        generator: the family that wrote the references.
        bench: folder or Hub id with the images, for judges with ?images=yes.
        ledger: where paid judgements are kept.
    """

    runs: Annotated[tuple[str, ...], arg(name="run", metavar="FAMILY=RUN"), UseAppendAction]
    judges: Annotated[tuple[str, ...], arg(name="judge", metavar="FAMILY=SPEC"), UseAppendAction]
    generator: Annotated[str | None, arg(metavar="FAMILY")] = None
    bench: str | None = None
    ledger: Path = JUDGE_LEDGER

    def run(self) -> None:
        """Print the preference of each judge with its interval."""
        from mmcr_bench.trust.commands import self_preference

        print(self_preference(self.runs, self.judges, self.generator, self.ledger, self.bench))
