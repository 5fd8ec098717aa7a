"""The commands of python -m mmcr_bench review: each a dataclass of its flags, whose `run` prints the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

ReviewFile = Annotated[Path, arg(metavar="REVIEW")]


@dataclass(frozen=True)
class _OfReview:
    """A review.

    Attributes:
        review: SQLite file of the review.
    """

    review: Positional[ReviewFile]


@dataclass(frozen=True)
class ReviewStart(_OfReview):
    """Start the review of a bench.

    Attributes:
        bench: folder of the bench.
        experts: number of experts who annotate (mark) each item.
    """

    bench: Positional[Annotated[Path, arg(metavar="BENCH")]]
    experts: int = 6

    def run(self) -> None:
        """Start it, and print the number of items to annotate."""
        from mmcr_bench.review.commands import start

        print(start(self.review, self.bench, self.experts))


@dataclass(frozen=True)
class ReviewAccount(_OfReview):
    """Create a user account; the password is prompted for.

    Attributes:
        name: user name.
        keeper: a keeper, who sees progress and agreement and doesn't annotate.
    """

    name: Positional[str]
    keeper: bool = False

    def run(self) -> None:
        """Create the account."""
        from mmcr_bench.review.commands import account

        print(account(self.review, self.name, "keeper" if self.keeper else "expert"))


@dataclass(frozen=True)
class ReviewServe(_OfReview):
    """Serve the experts' web page.

    Attributes:
        host: address to listen on.
        port: port to listen on.
    """

    host: str = "127.0.0.1"
    port: int = 8600

    def run(self) -> None:
        """Serve until interrupted."""
        from mmcr_bench.review.commands import serve

        print(serve(self.review, self.host, self.port))


@dataclass(frozen=True)
class ReviewRewrite(_OfReview):
    """Regenerate flagged items; items that failed too often are replaced by a new draw.

    Attributes:
        endpoint: URL#MODEL of the writer, or offline (measured facts, for demos).
        dataset: folder that replacements are drawn from.
        ledger: SQLite file that stores paid replies.
        seed: seed of the draw.
    """

    endpoint: str
    dataset: Path
    ledger: Path = Path("review_ledger.sqlite3")
    seed: int = 0

    def run(self) -> None:
        """Regenerate the items and print the counts."""
        from mmcr_bench.review.commands import rewrite

        print(rewrite(self.review, self.endpoint, self.ledger, self.dataset, self.seed))


@dataclass(frozen=True)
class ReviewStatus(_OfReview):
    """Show progress and agreement."""

    def run(self) -> None:
        """Print both."""
        from mmcr_bench.review.commands import status

        print(status(self.review))


@dataclass(frozen=True)
class ReviewExport(_OfReview):
    """Export everything except the accounts as JSON lines.

    Attributes:
        file: output file.
    """

    file: Positional[Path]

    def run(self) -> None:
        """Export, and print the number of lines."""
        from mmcr_bench.review.commands import export

        print(export(self.review, self.file))


@dataclass(frozen=True)
class ReviewImport(_OfReview):
    """Create a review from an export.

    Attributes:
        file: input file.
        experts: number of experts who annotate (mark) each item.
    """

    file: Positional[Path]
    experts: int = 6

    def run(self) -> None:
        """Import, and print the number of events."""
        from mmcr_bench.review.commands import import_file

        print(import_file(self.review, self.file, self.experts))
