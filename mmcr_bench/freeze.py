"""Freeze a reviewed bench: an immutable version that `load_dataset` reads, with a checksum of each item."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmcr_bench.bench_folder import find_changes, write_bench_folder
from mmcr_bench.review.event_log import ReviewLog
from mmcr_bench.review.progress import AGREEMENT_COLUMNS, show_agreement
from mmcr_bench.review.rounds import Item
from mmcr_bench.table_1 import measure_sizes, show_table_1
from mmcr_dataset.publish.markdown_table import to_table

REPORT_NAME = "frozen.json"
NAMES_SHOWN = 5
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")


def freeze_review(review: Path, out: Path, version: str, gaps: Mapping[str, str] | None = None) -> str:
    """Write the passed items of a finished review into a new folder.

    Args:
        review: SQLite file of the review.
        out: the new folder.
        version: X.Y.Z.
        gaps: reason by name of an item, or of a topic, whose items may be missing from this version.

    Raises:
        ValueError: items have not passed, a gap is none, the folder exists, the version is not X.Y.Z, or there is no
            review.
    """
    if not _VERSION.fullmatch(version):
        raise ValueError(f"version {version!r}: expected three numbers such as 1.0.0")
    if out.exists():
        raise ValueError(f"{out}: exists; a frozen version is immutable, name another folder")
    if not review.is_file():
        raise ValueError(f"{review}: no such review")
    log = ReviewLog(review)
    everything = [item for _, item in sorted(log.items().items()) if not item.planted]
    missing = {item.name: item.dropped for item in everything if item.dropped}
    missing |= _accept_gaps(log, [item for item in everything if not item.dropped], gaps or {})
    items = [item for item in everything if item.name not in missing]
    status = Counter(item.status(log.num_experts) for item in items)
    if status["passed"] < len(items) or not items:
        left = ", ".join(f"{count} {name}" for name, count in sorted(status.items()) if name != "passed")
        names = [item.name for item in items if item.status(log.num_experts) != "passed"]
        shown = f": {', '.join(names[:NAMES_SHOWN])}{', ...' if len(names) > NAMES_SHOWN else ''}" if names else ""
        raise ValueError(
            f"{review}: {status['passed']} of {len(items)} items have passed ({left or 'none opened'}){shown}; finish "
            "the review, `review drop` an item, or accept a gap with --accept_gap NAME=REASON"
        )
    dialogues = [log.dialogue(item) for item in items]
    report, notes = _describe(log, items, missing, version)
    write_bench_folder(dialogues, out, REPORT_NAME, report, notes, version, log.recipe)
    left_out = f", {len(missing)} left out (see the card)" if missing else ""
    return f"{out}: version {version}, {len(items)} items{left_out}\n\n{show_table_1(measure_sizes(dialogues))}"


def _accept_gaps(log: ReviewLog, items: Sequence[Item], gaps: Mapping[str, str]) -> dict[str, str]:
    """Reason by name of each item that has not passed and whose name or topic is an accepted gap."""
    missing: dict[str, str] = {}
    waiting = [item for item in items if item.status(log.num_experts) != "passed"]
    for name, reason in gaps.items():
        found = [item.name for item in waiting if name in (item.name, item.dialogue["topic"])]
        if not found or not reason.strip():
            raise ValueError(
                f"--accept_gap {name}={reason}: expected an item that has not passed, or a topic with such items, and "
                "a reason"
            )
        missing |= dict.fromkeys(found, reason.strip())
    return missing


def _describe(
    log: ReviewLog, items: Sequence[Item], missing: Mapping[str, str], version: str
) -> tuple[dict[str, object], list[str]]:
    """The report, and the last lines of the card; experts have numbers there, not names."""
    versions = Counter(item.version for item in items)
    judged = Counter(mark.actor for item in items for mark in item.marks.values())
    by_expert = {f"expert {number}": count for number, (_, count) in enumerate(sorted(judged.items()), start=1)}
    dismissed = sum(item.decision is not None for item in items)
    agreement = show_agreement(log)
    report: dict[str, object] = {
        "version": version,
        "experts": len(judged),
        "experts_an_item": log.num_experts,
        "items_judged": by_expert,
        "num_items": len(items),
        "items_by_number_of_versions": {str(number): count for number, count in sorted(versions.items())},
        "lone_flags_dismissed": dismissed,
        "left_out": dict(missing),
        "agreement": [row for row in agreement if len(row) > 1],
    }
    programs = sorted({actor for actor in judged if actor.startswith(("model:", "rules:"))})
    if programs:
        report["marked_by_programs"] = programs
    shown = ", ".join(f"{count} by {name}" for name, count in by_expert.items())
    notes = [
        "## Review",
        "",
        f"Version {version}. {log.num_experts} experts judged each item on {len(log.criteria)} criteria; ",
    ]
    notes += [
        f"{len(judged)} took part, who judged of the {len(items)} items: {shown}. Items needed this many versions: "
    ]
    notes += [", ".join(f"{count} needed {number}" for number, count in sorted(versions.items())) + "."]
    if programs:
        people = len(judged) - len(programs)
        notes += [f"Programs, not people, are {len(programs)} of them: {', '.join(programs)}; people: {people}."]
    if dismissed:
        notes += [f"A keeper dismissed the flag of one expert alone on {dismissed} items."]
    notes += ["", to_table(AGREEMENT_COLUMNS, [row for row in agreement if len(row) > 1]), ""]
    if missing:
        rows = [[name, reason] for name, reason in sorted(missing.items())]
        notes += ["### Left out", "", to_table(("item", "reason"), rows), ""]
    return report, notes


def check_frozen(folder: Path) -> str:
    """Verify each item of a bench folder against its checksum.

    Raises:
        ValueError: items have changed, or the folder has no checksums.
    """
    changed = find_changes(folder)
    if changed:
        raise ValueError(f"{folder}: {len(changed)} items don't match their checksums: {', '.join(changed[:5])}")
    return f"{folder}: every item matches its checksum"
