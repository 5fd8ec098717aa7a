"""The version of the labels that a run reads: md5 of its tables or revision on the Hub, beside the published sums."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from eval_tasks.rows.label_sums import EARLIER, PUBLISHED

Sources = dict[str, str]  # file or Hub id -> md5 or revision
_READ: ContextVar[Sources | None] = ContextVar("label_sources", default=None)
_MANY = 8  # files; more are named by one sum
_COMMIT = re.compile(r"@([0-9a-f]{40})/")


@contextmanager
def labels_read() -> Iterator[Sources]:
    """Collect the tables that are read inside the block."""
    found: Sources = {}
    token = _READ.set(found)
    try:
        yield found
    finally:
        _READ.reset(token)


def note_table(path: Path) -> None:
    """Note a table that is read, if somebody collects them."""
    if (found := _READ.get()) is not None:
        status = path.stat()
        sum_ = _md5(path, status.st_size, status.st_mtime_ns)
        found[path.name if found.get(path.name, sum_) == sum_ else str(path)] = sum_


def note_hub(name: str, config: str | None, checksums: Iterable[str]) -> None:
    """Note rows of the Hub: their revision, from the addresses that they were loaded from."""
    if (found := _READ.get()) is not None:
        commits = {match[1] for address in checksums if (match := _COMMIT.search(address))}
        found[f"{name}/{config}" if config else name] = "revision " + (", ".join(sorted(commits)) or "unknown")


@lru_cache(maxsize=256)
def _md5(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def label_version(sources: Sources, records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The labels of a task for results.json.

    Args:
        sources: what was read, see `labels_read`.
        records: the task's records of samples.jsonl.

    Returns:
        `read`: file -> md5 (or Hub id -> revision); `answers_sha256` of all ids and targets; `other`: what makes it
        another version than the published one, empty if nothing does or no sum is published.
    """
    answers = sorted(json.dumps([record["id"], record["target"]], sort_keys=True) for record in records)
    digest = hashlib.sha256(json.dumps(answers).encode()).hexdigest()[:16]
    others = [said for name, sum_ in sources.items() if (said := _other(name, sum_))]
    shown = dict(sources)
    if len(shown) > _MANY:
        of_all = hashlib.md5("".join(sorted(shown.values())).encode(), usedforsecurity=False).hexdigest()
        shown = {f"{len(shown)} files": of_all}
    return {"read": shown, "answers_sha256": digest, "other": "; ".join(others)}


def _other(name: str, sum_: str) -> str:
    """Why a table isn't the published one; empty if it is, or if no sum of it is published."""
    if sum_ in EARLIER:
        table, why = EARLIER[sum_]
        return f"{name} is {table} as published {why}"
    wanted = PUBLISHED.get(Path(name).stem)
    if wanted is None or sum_ == wanted or sum_ in PUBLISHED.values() or not name.endswith(".tsv"):
        return ""
    return f"{name} has md5 {sum_}, the published table {wanted}"


def short_version(labels: Mapping[str, Any]) -> str:
    """The labels in few words: `BLINK.tsv 3b6649b6`."""
    read = [f"{Path(name).name} {sum_.removeprefix('revision ')[:8]}" for name, sum_ in labels["read"].items()]
    return ", ".join(read) or f"answers {labels['answers_sha256'][:8]}"


def label_marks(entries: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """What sets the labels of a task apart, for each of several runs; empty where nothing does.

    Labels are apart if they are another version than the published one, or if the runs read other files and other
    answers to as many samples.
    """
    found = [entry or {} for entry in entries]
    marks = []
    for entry in found:
        labels = entry.get("labels")
        if labels is None:
            marks.append("")
            continue
        rivals = [one for one in found if one.get("labels") and one["num_samples"] == entry["num_samples"]]
        is_apart = any(
            one["labels"]["read"] != labels["read"] and one["labels"]["answers_sha256"] != labels["answers_sha256"]
            for one in rivals
        )
        said = f"another version of the labels: {short_version(labels)}" if labels["other"] else ""
        marks.append(said or (f"labels: {short_version(labels)}" if is_apart else ""))
    return marks
