"""The commands of python -m mmcr_bench mmdu: each a dataclass of its flags, whose `run` prints the result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from mmcr_dataset.build_settings import BuildSettings

if TYPE_CHECKING:
    from mmcr_bench.mmdu.accuracy import Verdict

Work = Annotated[Path, arg(metavar="OUT.work")]


@dataclass(frozen=True)
class MmduMake:
    """From an encyclopedia to a frozen bench: build the data set, draw, review by a model or rules, freeze.

    Attributes:
        settings: settings of the data set, as of `python -m mmcr_dataset build` with the recipe mmdu; the source
            made_wiki:N is a made-up wiki of N pages, written beside it.
        bench: new folder of the frozen bench; default the data set's name + -bench.
        items: dialogues to draw for the bench.
        reviewer: who marks every item: URL#MODEL of a second model, or rules, which see no image.
        version: version number of the bench, X.Y.Z.
    """

    settings: BuildSettings
    bench: Path | None = None
    items: int = 110
    reviewer: str = "rules"
    version: str = "1.0.0"

    def run(self) -> None:
        """Make the bench, and print its size."""
        from mmcr_bench.mmdu.make import make_mmdu

        settings = replace(self.settings, writer=replace(self.settings.writer, recipe="mmdu"))
        frozen = self.bench or settings.out.with_name(settings.out.name + "-bench")
        print(make_mmdu(settings, frozen, self.items, self.reviewer, self.version))


@dataclass(frozen=True)
class MmduWiki:
    """Write a made-up wiki in MediaWiki's XML form with painted images, whose topics are known.

    Attributes:
        folder: new folder.
        pages: number of articles.
        seed: random seed.
    """

    folder: Positional[Path]
    pages: int = 200
    seed: int = 0

    def run(self) -> None:
        """Write it, and print its size."""
        from mmcr_dataset.mmdu.made_wiki import write_made_wiki

        print(f"{self.folder}: {self.pages} pages, {write_made_wiki(self.folder, self.pages, self.seed)} images")


@dataclass(frozen=True)
class MmduReview:
    """Let a second model, or rules, mark the open items of a review.

    Attributes:
        review: SQLite file of the review.
        reviewer: URL#MODEL, or rules, which see no image.
        ledger: SQLite file that stores paid replies.
        max_cost_usd: stop before the ledger exceeds so many US dollars.
        allow_unknown_price: ask a model whose price is not known.
    """

    review: Positional[Annotated[Path, arg(metavar="REVIEW")]]
    reviewer: str
    ledger: Path = Path("mmdu_ledger.sqlite3")
    max_cost_usd: float | None = None
    allow_unknown_price: bool = False

    def run(self) -> int:
        """Mark them, and print the counts; returns 1 if a reply can't be read."""
        from mmcr_bench.judge.spending import spending
        from mmcr_bench.mmdu.model_review import mark_items
        from mmcr_bench.review.commands import open_review

        with spending(self.max_cost_usd, self.allow_unknown_price):
            marked = mark_items(open_review(self.review), self.reviewer, self.ledger)
        print(f"{marked.num_passed} items passed, {marked.num_flagged} flagged")
        for reason, count in marked.unread.items():
            print(f"unread     {count} replies: {reason}; these items stay open")
        return 1 if marked.unread else 0


@dataclass(frozen=True)
class MmduAccuracy:
    """Share of right clusters, judged in samples by a model, by known topics, or by the experts of a review.

    Attributes:
        work: the OUT.work folder of a build with --recipe mmdu.
        judge: URL#MODEL of a model that sees the images.
        topics: JSON file, name of an image -> topic (a made-up wiki's topics.json), instead of a judge.
        review: review with MMDU's criteria, whose experts flag `cluster`, instead of a judge.
        samples: number of samples.
        size: clusters of a sample.
        seed: seed of the draw.
        output_file: write the verdicts, for `mmdu quality`.
        ledger: SQLite file that stores paid replies.
        max_cost_usd: stop before the ledger exceeds so many US dollars.
        allow_unknown_price: ask a judge whose price is not known.
    """

    work: Positional[Work | None] = None
    judge: str | None = None
    topics: Path | None = None
    review: Path | None = None
    samples: int = 5
    size: int = 100
    seed: int = 0
    output_file: Path | None = None
    ledger: Path = Path("mmdu_ledger.sqlite3")
    max_cost_usd: float | None = None
    allow_unknown_price: bool = False

    def run(self) -> None:
        """Judge them, and print the shares with intervals.

        Raises:
            ValueError: not exactly one of --judge, --topics and --review is given, or OUT.work is missing.
        """
        from mmcr_bench.mmdu import accuracy

        if sum(one is not None for one in (self.judge, self.topics, self.review)) != 1:
            raise ValueError("give one of --judge URL#MODEL, --topics FILE and --review REVIEW")
        verdicts = accuracy.read_people(self.review) if self.review else self._judge()
        if self.output_file is not None:
            accuracy.write_verdicts(self.output_file, verdicts)
        print(accuracy.show_accuracy(verdicts, of_people=self.review is not None))

    def _judge(self) -> list[Verdict]:
        import json

        from mmcr_bench.judge.spending import spending
        from mmcr_bench.mmdu import accuracy
        from mmcr_dataset.endpoint.address import read_endpoint

        if self.work is None or min(self.samples, self.size) < 1:
            raise ValueError("name the OUT.work folder of the build, and at least one sample of one cluster")
        samples = accuracy.draw_samples(self.work, self.samples, self.size, self.seed)
        if self.topics is not None:
            return accuracy.judge_by_topics(samples, json.loads(self.topics.read_text("utf-8")))
        with spending(self.max_cost_usd, self.allow_unknown_price):
            return accuracy.judge_by_model(samples, read_endpoint(str(self.judge), "--judge"), self.ledger)


@dataclass(frozen=True)
class MmduQuality:
    """Relate the accuracy of clusters to the scores of their dialogues.

    Attributes:
        work: the OUT.work folder of a build with --recipe mmdu.
        accuracy: verdicts of `mmdu accuracy --output_file`.
        run_folder: judged run of `python -m eval_tasks --tasks mmdu` on the bench.
    """

    work: Positional[Work]
    accuracy: Path
    run_folder: Annotated[Path, arg(name="run")]

    def run(self) -> None:
        """Print the table."""
        from mmcr_bench.mmdu.accuracy import read_verdicts
        from mmcr_bench.mmdu.quality import show_quality

        print(show_quality(self.work, list(read_verdicts(self.accuracy)), self.run_folder))
