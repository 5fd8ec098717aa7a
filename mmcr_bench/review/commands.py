"""The commands of python -m mmcr_bench review: each a dataclass of its flags, whose `run` prints the result."""

from __future__ import annotations

import getpass
import logging
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from mmcr_dataset.record.recipe import RecipeName

if TYPE_CHECKING:
    from mmcr_bench.review.accounts import Accounts, Role
    from mmcr_bench.review.event_log import ReviewLog

logger = logging.getLogger(__name__)

ITEMS_AT_ONCE = 50  # items whose images are in memory at the same time
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
        recipe: whose criteria are flagged.
    """

    bench: Positional[Annotated[Path, arg(metavar="BENCH")]]
    experts: int = 6
    recipe: RecipeName = "mmcr"

    def run(self) -> None:
        """Start it, and print the number of items to annotate.

        Raises:
            ValueError: the review exists, or there is no bench in the folder.
        """
        from mmcr_bench.review.event_log import ReviewLog
        from mmcr_bench.review.rounds import Event
        from mmcr_bench.select.candidates import load_by_id, read_ids

        if self.review.exists():
            raise ValueError(
                f"{self.review}: already holds a review; resume it with `review serve`, or name another file"
            )
        ids = sorted(read_ids(self.bench))
        if not ids:
            raise ValueError(f"{self.bench}: no bench found; draw one with `python -m mmcr_bench build`")
        log = ReviewLog(self.review, self.experts, self.recipe)
        for begin in range(0, len(ids), ITEMS_AT_ONCE):
            for dialogue in load_by_id([self.bench], ids[begin : begin + ITEMS_AT_ONCE]):
                log.add_dialogue(Event("opened", dialogue.id, 1, "build", time.time()), dialogue)
        log.close()
        print(f"{self.review}: {len(ids)} items to annotate by {self.experts} experts; add `review account`s")


@dataclass(frozen=True)
class ReviewAccount(_OfReview):
    """Create a user account, or give one a new password, which is prompted for; the role of an account stays.

    Attributes:
        name: user name.
        keeper: a new keeper, who sees progress and agreement and doesn't annotate.
    """

    name: Positional[str]
    keeper: bool = False

    def run(self) -> None:
        """Create the account; the password comes from standard input if that is not a terminal.

        Raises:
            ValueError: --keeper for an expert, a former expert, or name or password can't be used.
        """
        accounts = open_accounts(self.review)
        known = accounts.role_of(self.name)
        if known == "former":
            raise ValueError(f"{self.name} was taken off the panel; create an account of another name")
        if self.keeper and known == "expert":
            raise ValueError(f"{self.name} is an expert, whose marks count; create the keeper under another name")
        asked = f"Password for {self.name}: "
        password = getpass.getpass(asked) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        role: Role = known or ("keeper" if self.keeper else "expert")
        accounts.add(self.name, password, role)
        accounts.note("command line", "password" if known else "account", self.name, role)
        print(f"{role} {self.name} {'has a new password' if known else 'may log in'}")


@dataclass(frozen=True)
class ReviewServe(_OfReview):
    """Serve the experts' web page.

    Attributes:
        host: address to listen on.
        port: port to listen on.
        public_url: address as browsers see it, behind a proxy that asks by another (https://review.example.org).
        min_view_s: seconds that an expert must have an item on the screen before a mark is stored.
    """

    host: str = "127.0.0.1"
    port: int = 8600
    public_url: str | None = None
    min_view_s: float = 5.0

    def run(self) -> None:
        """Serve until interrupted."""
        import uvicorn

        from mmcr_bench.review.page import make_app

        log, accounts = open_review(self.review), open_accounts(self.review)
        shown = f"review of {len(log.items())} items by {len(accounts.names('expert'))} experts"
        print(f"{shown} on http://{self.host}:{self.port}", flush=True)
        if self.host not in ("127.0.0.1", "localhost"):
            logger.warning("passwords are sent unencrypted unless a TLS proxy is in front of this address")
        app = make_app(log, accounts, self.public_url, self.min_view_s)
        uvicorn.run(app, host=self.host, port=self.port, log_level="warning", server_header=False)
        print("stopped")


@dataclass(frozen=True)
class ReviewRewrite(_OfReview):
    """Regenerate flagged items; items that failed too often are replaced by a new draw.

    Attributes:
        endpoint: URL#MODEL of the writer, or offline (measured facts, for demos).
        dataset: folder that replacements are drawn from.
        ledger: SQLite file that stores paid replies.
        seed: seed of the draw.
        lone_flags: what happens to an item that one expert of three or more flagged: `wait` for the keeper's decision
            (the page, or `review adjudicate`), or `rewrite` it at once as the paper does.
    """

    endpoint: str
    dataset: Path
    ledger: Path = Path("review_ledger.sqlite3")
    seed: int = 0
    lone_flags: Literal["wait", "rewrite"] = "wait"

    def run(self) -> None:
        """Regenerate the items and print the counts.

        Raises:
            ValueError: the endpoint is neither `offline` nor URL#MODEL.
        """
        from mmcr_bench.review.rewriting import rewrite_flagged
        from mmcr_dataset.endpoint.address import read_endpoint
        from mmcr_dataset.generate.writer_settings import WriterSettings

        settings = WriterSettings("offline")
        if self.endpoint != "offline":
            asked = read_endpoint(self.endpoint, "--endpoint", "URL#MODEL, or offline")
            settings = WriterSettings(writer="openai", endpoint=asked)
        log, waits = open_review(self.review), self.lone_flags == "wait"
        settings = replace(settings, recipe=log.recipe)
        done = rewrite_flagged(log, settings, self.ledger, self.dataset, self.seed, wait_for_decisions=waits)
        print(f"{done.num_regenerated} items regenerated, {done.num_replaced} redrawn")
        if done.num_lone:
            print(
                f"waiting    {done.num_lone} items that one expert alone flagged: decide on the keeper's page or with "
                "`review adjudicate`, or rewrite them all with --lone_flags rewrite"
            )
        for reason, count in sorted(done.failures.items()):
            print(f"unusable   {count} replies: {reason}")
        for topic, count in done.shortages.items():
            print(
                f"short      {count} more dialogues of topic {topic} needed; add some to the data set, or "
                "`review drop` the items, or `freeze --accept_gap`"
            )


@dataclass(frozen=True)
class ReviewStatus(_OfReview):
    """Show progress and agreement."""

    def run(self) -> None:
        """Print both."""
        from mmcr_bench.review.progress import show_agreement, to_progress

        log = open_review(self.review)
        progress = to_progress(log, open_accounts(self.review).names("expert"))
        lines = [f"{name:<11}{count}" for name, count in progress.by_status.items()]
        lines += [f"open in round {number}: {count}" for number, count in progress.by_round.items()]
        lines += [f"marked by {name}: {count} of {progress.num_items}" for name, count in progress.by_expert.items()]
        lines += [f"regenerated {progress.num_regenerated}, redrawn {progress.num_replaced}", ""]
        lines += ["criterion | items | flagged | raw | alpha | AC1"]
        print("\n".join(lines + [" | ".join(row) for row in show_agreement(log)]))


@dataclass(frozen=True)
class ReviewExport(_OfReview):
    """Export everything except the passwords as JSON lines.

    Attributes:
        file: output file.
    """

    file: Positional[Path]

    def run(self) -> None:
        """Export, and print the number of lines."""
        from mmcr_bench.review.accounts import ROLES
        from mmcr_bench.review.event_log import export_lines

        accounts = open_accounts(self.review)
        roles = {name: role for role in ROLES for name in accounts.names(role)}
        lines = list(export_lines(open_review(self.review), roles, accounts.acts()))
        self.file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        print(f"{self.file}: {len(lines)} lines")


@dataclass(frozen=True)
class ReviewImport(_OfReview):
    """Create a review from an export.

    Attributes:
        file: input file.
        experts: number of experts who annotate (mark) each item; default that of the export.
    """

    file: Positional[Path]
    experts: int | None = None

    def run(self) -> None:
        """Import, and print the number of events.

        Raises:
            ValueError: the review exists, or the file is incomplete.
        """
        from mmcr_bench.review.event_log import ReviewLog, import_lines, read_panel
        from mmcr_bench.review.rounds import NUM_EXPERTS

        if self.review.exists():
            raise ValueError(f"{self.review}: already holds a review; name another file")
        with self.file.open(encoding="utf-8") as lines:
            panel = read_panel(next(lines, "{}"))
        log = ReviewLog(self.review, self.experts or panel.num_experts or NUM_EXPERTS, panel.recipe)
        with self.file.open(encoding="utf-8") as lines:
            num_events = import_lines(log, lines)
        accounts = open_accounts(self.review)
        for name, role in panel.roles.items():
            accounts.add_without_password(name, role)
        accounts.import_acts(list(panel.acts))
        print(f"{self.review}: {num_events} events, {log.num_experts} experts an item")
        unset = sorted(name for name, role in panel.roles.items() if role != "former")
        if unset:
            print(f"accounts without passwords, set them with `review account`: {', '.join(unset)}")


def open_review(review: Path) -> ReviewLog:
    """The log of an existing review.

    Raises:
        ValueError: there is none.
    """
    from mmcr_bench.review.event_log import ReviewLog

    if not review.is_file():
        raise ValueError(
            f"{review}: no review found; start one with `python -m mmcr_bench review start {review} BENCH`"
        )
    return ReviewLog(review)


def open_accounts(review: Path) -> Accounts:
    """The accounts of an existing review."""
    from mmcr_bench.review.accounts import Accounts
    from mmcr_bench.review.event_log import open_database

    open_review(review).close()
    return Accounts(open_database(review))
