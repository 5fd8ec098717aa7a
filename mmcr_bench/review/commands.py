"""Implementation of `python -m mmcr_bench review`: start, account, serve, rewrite, status, export, import."""

from __future__ import annotations

import getpass
import logging
import sys
import time
from pathlib import Path

from mmcr_bench.review.accounts import Accounts, Role
from mmcr_bench.review.event_log import ReviewLog, export_lines, import_lines, open_database
from mmcr_bench.review.progress import AGREEMENT_COLUMNS, show_agreement, to_progress
from mmcr_bench.review.rounds import Event
from mmcr_dataset.publish.markdown_table import to_table

logger = logging.getLogger(__name__)

ITEMS_AT_ONCE = 50  # items whose images are in memory at the same time


def start(review: Path, bench: Path, num_experts: int) -> str:
    """Open the review of a bench folder.

    Raises:
        ValueError: the review exists, or there is no bench in the folder.
    """
    from mmcr_bench.select.candidates import load_by_id, read_ids

    if review.exists():
        raise ValueError(f"{review}: already holds a review; resume it with `review serve`, or name another file")
    ids = sorted(read_ids(bench))
    if not ids:
        raise ValueError(f"{bench}: no bench found; draw one with `python -m mmcr_bench build`")
    log = ReviewLog(review, num_experts)
    for begin in range(0, len(ids), ITEMS_AT_ONCE):
        for dialogue in load_by_id([bench], ids[begin : begin + ITEMS_AT_ONCE]):
            log.add_dialogue(Event("opened", dialogue.id, 1, "build", time.time()), dialogue)
    log.close()
    return f"{review}: {len(ids)} items to annotate by {num_experts} experts; create accounts with `review account`"


def account(review: Path, name: str, role: Role) -> str:
    """Create an account; the password is prompted for, or read from standard input if that is not a terminal."""
    accounts = Accounts(open_database(_existing(review)))
    asked = f"Password for {name}: "
    accounts.add(name, getpass.getpass(asked) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n"), role)
    return f"{role} {name} may log in"


def serve(review: Path, host: str, port: int) -> str:
    """Serve the page until interrupted."""
    import uvicorn

    from mmcr_bench.review.page import make_app

    log, accounts = ReviewLog(_existing(review)), Accounts(open_database(review))
    experts = accounts.names("expert")
    print(f"review of {len(log.items())} items by {len(experts)} experts on http://{host}:{port}", flush=True)
    if host not in ("127.0.0.1", "localhost"):
        logger.warning("passwords are sent unencrypted unless a TLS proxy is in front of this address")
    uvicorn.run(make_app(log, accounts), host=host, port=port, log_level="warning", server_header=False)
    return "stopped"


def rewrite(review: Path, endpoint: str, ledger: Path, dataset: Path, seed: int) -> str:
    """Regenerate flagged items; items that failed too often are replaced by a new draw.

    Args:
        review: SQLite file of the review.
        endpoint: `offline` or URL#MODEL of the writer.
        ledger: SQLite file that stores paid replies.
        dataset: folder that replacements are drawn from.
        seed: seed of the draw.

    Raises:
        ValueError: the endpoint is neither `offline` nor URL#MODEL.
    """
    from mmcr_bench.review.rewriting import rewrite_flagged
    from mmcr_dataset.endpoint.address import read_endpoint
    from mmcr_dataset.generate.writer_settings import WriterSettings

    settings = WriterSettings("offline")
    if endpoint != "offline":
        asked = read_endpoint(endpoint, "--endpoint", "URL#MODEL, or offline")
        settings = WriterSettings(writer="openai", endpoint=asked)
    done = rewrite_flagged(ReviewLog(_existing(review)), settings, ledger, dataset, seed)
    lines = [f"{done.num_regenerated} items regenerated, {done.num_replaced} redrawn"]
    lines += [f"unusable   {count} replies: {reason}" for reason, count in sorted(done.failures.items())]
    lines += [f"short      {count} more dialogues of topic {topic} needed" for topic, count in done.shortages.items()]
    return "\n".join(lines)


def status(review: Path) -> str:
    """Progress and agreement as text."""
    log, accounts = ReviewLog(_existing(review)), Accounts(open_database(review))
    progress = to_progress(log, accounts.names("expert"))
    lines = [f"{name:<11}{count}" for name, count in progress.by_status.items()]
    lines += [f"open in round {number}: {count}" for number, count in progress.by_round.items()]
    lines += [f"marked by {name}: {count} of {progress.num_items}" for name, count in progress.by_expert.items()]
    lines += [f"regenerated {progress.num_regenerated}, redrawn {progress.num_replaced}", ""]
    lines += ["criterion | items | flagged | raw | alpha | AC1"]
    return "\n".join(lines + [" | ".join(row) for row in show_agreement(log)])


def agreement(review: Path) -> str:
    """Inter-annotator agreement of a review as a Markdown table."""
    rows = show_agreement(ReviewLog(_existing(review)), num_resamples=2000)
    notes = [f"\n{row[0]}" for row in rows if len(row) == 1]
    return "\n".join([to_table(AGREEMENT_COLUMNS, [row for row in rows if len(row) > 1]), *notes])


def export(review: Path, file: Path) -> str:
    """Write everything except the accounts as JSON lines."""
    lines = list(export_lines(ReviewLog(_existing(review))))
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return f"{file}: {len(lines)} lines"


def import_file(review: Path, file: Path, num_experts: int) -> str:
    """Create a review from an export.

    Raises:
        ValueError: the review exists, or the file is incomplete.
    """
    if review.exists():
        raise ValueError(f"{review}: already holds a review; name another file")
    with file.open(encoding="utf-8") as lines:
        count = import_lines(ReviewLog(review, num_experts), lines)
    return f"{review}: {count} events"


def _existing(review: Path) -> Path:
    if not review.is_file():
        raise ValueError(
            f"{review}: no review found; start one with `python -m mmcr_bench review start {review} BENCH`"
        )
    return review
