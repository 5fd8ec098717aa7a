"""Freeze a reviewed bench: an immutable version that `load_dataset` reads, with a checksum of each item."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from mmcr_bench.bench_folder import find_changes, write_bench_folder
from mmcr_bench.review.event_log import ReviewLog
from mmcr_bench.review.progress import AGREEMENT_COLUMNS, show_agreement
from mmcr_bench.table_1 import measure_sizes, show_table_1
from mmcr_dataset.publish.markdown_table import to_table

REPORT_NAME = "frozen.json"
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")


def freeze_review(review: Path, out: Path, version: str) -> str:
    """Write the passed items of a finished review into a new folder.

    Raises:
        ValueError: items have not passed, the folder exists, the version is not X.Y.Z, or there is no review.
    """
    if not _VERSION.fullmatch(version):
        raise ValueError(f"version {version!r}: expected three numbers such as 1.0.0")
    if out.exists():
        raise ValueError(f"{out}: exists; a frozen version is immutable, name another folder")
    if not review.is_file():
        raise ValueError(f"{review}: no such review")
    log = ReviewLog(review)
    items = [item for _, item in sorted(log.items().items())]
    status = Counter(item.status(log.num_experts) for item in items)
    if status["passed"] < len(items) or not items:
        left = ", ".join(f"{count} {name}" for name, count in sorted(status.items()) if name != "passed")
        raise ValueError(f"{review}: {status['passed']} of {len(items)} items have passed ({left or 'none opened'})")
    dialogues = [log.dialogue(item) for item in items]
    rounds = Counter(item.version for item in items)
    experts = len({mark.actor for item in items for mark in item.marks.values()})
    report = {
        "version": version,
        "experts": experts,
        "num_items": len(items),
        "items_by_number_of_versions": {str(number): count for number, count in sorted(rounds.items())},
        "agreement": show_agreement(log),
    }
    notes = ["## Review", ""]
    notes += [
        f"Version {version}. {experts} experts passed every item on five criteria; items needed this many versions: "
    ]
    notes += [", ".join(f"{count} needed {number}" for number, count in sorted(rounds.items())) + "."]
    notes += ["", to_table(AGREEMENT_COLUMNS, [row for row in show_agreement(log) if len(row) > 1])]
    write_bench_folder(dialogues, out, REPORT_NAME, report, [*notes, ""], version)
    return f"{out}: version {version}, {len(items)} items\n\n{show_table_1(measure_sizes(dialogues))}"


def check_frozen(folder: Path) -> str:
    """Verify each item of a bench folder against its checksum.

    Raises:
        ValueError: items have changed, or the folder has no checksums.
    """
    changed = find_changes(folder)
    if changed:
        raise ValueError(f"{folder}: {len(changed)} items don't match their checksums: {', '.join(changed[:5])}")
    return f"{folder}: every item matches its checksum"
