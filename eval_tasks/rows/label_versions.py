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

from eval_tasks.rows.label_sums import EARLIER, PUBLISHED, REVISIONS

Sources = dict[str, str]  # file or Hub id -> md5 or revision
_READ: ContextVar[Sources | None] = ContextVar("label_sources", default=None)
_MANY = 8  # files; more are named by one sum
_COMMIT = re.compile(r"[0-9a-f]{40}")


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


def note_hub(name: str, config: str | None, commit: str) -> None:
    """Note rows of the Hub by the commit that they were loaded from."""
    if (found := _READ.get()) is not None:
        found[f"{name}/{config}" if config else name] = f"revision {commit if _COMMIT.fullmatch(commit) else 'unknown'}"


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
        `read`: file -> md5 (or Hub id -> revision); `answers_sha256` of all ids and targets, `images_sha256` of all ids
        and images; `other`: what makes it another version than the published one, empty if nothing does or no sum is
        published.
    """
    found = [(one["id"], one["target"], [image["sha256"] for image in one["dialogue"]["images"]]) for one in records]
    shown = _by_data_set(sources)
    others = [said for name, sum_ in shown.items() if (said := _other(name, sum_))]
    if len(shown) > _MANY:
        of_all = hashlib.md5("".join(sorted(shown.values())).encode(), usedforsecurity=False).hexdigest()
        shown = {f"{len(shown)} files": of_all}
    sums = {"answers_sha256": _sum((name, gold) for name, gold, _ in found)}
    sums |= {"images_sha256": _sum((name, images) for name, _, images in found)}
    return {"read": shown, **sums, "other": "; ".join(others)}


def _by_data_set(sources: Sources) -> Sources:
    """The sources; many configurations of one commit of a data set on the Hub are named by its id."""
    found: Sources = {}
    for name, sum_ in sources.items():
        of_hub = "/".join(name.split("/")[:2])
        sums = {other for key, other in sources.items() if key.startswith(f"{of_hub}/")}
        found[of_hub if sum_.startswith("revision ") and sums == {sum_} and len(sources) > _MANY else name] = sum_
    return found


def _sum(pairs: Iterable[tuple[str, Any]]) -> str:
    lines = sorted(json.dumps(pair, sort_keys=True) for pair in pairs)
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]


def _other(name: str, sum_: str) -> str:
    """Why a table isn't the published one; empty if it is, or if no sum of it is published."""
    if sum_ in EARLIER:
        table, why = EARLIER[sum_]
        return f"{name} is {table} as published {why}"
    pinned = f"revision {REVISIONS.get('/'.join(name.split('/')[:2]))}"
    if sum_.startswith("revision ") and sum_ != pinned and not pinned.endswith("None"):
        return f"{name} is of {sum_}, the pinned one is {pinned.removeprefix('revision ')}"
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

    Labels are apart if they are another version than the published one, or if the runs read other files with other
    content: other answers or images of as many samples, or other prompts under the same rules.
    """
    found = [entry or {} for entry in entries]
    marks = []
    for entry in found:
        labels = entry.get("labels")
        if labels is None:
            marks.append("")
            continue
        rivals = [one for one in found if one.get("labels") and one["num_samples"] == entry["num_samples"]]
        is_apart = any(one["labels"]["read"] != labels["read"] and _differ(one, entry) for one in rivals)
        said = f"another version of the labels: {short_version(labels)}" if labels["other"] else ""
        marks.append(said or (f"labels: {short_version(labels)}" if is_apart else ""))
    return marks


def _differ(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """True if the tables of two runs differ in their answers, images or questions."""
    sums = [
        (one["labels"]["answers_sha256"], one["labels"].get("images_sha256"), one.get("prompts_sha256"))
        for one in (a, b)
    ]
    known = 3 if a.get("rules") == b.get("rules") else 2  # other rules ask otherwise
    return any(None not in pair and pair[0] != pair[1] for pair in list(zip(*sums, strict=True))[:known])
