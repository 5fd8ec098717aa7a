"""The takedown log of a data set: rows that were taken out, by a takedown or a bench's draw, and stay out.

`OUT.work/removed.jsonl` is what every later build applies; `OUT/removed.jsonl` is its published copy. A row is known
again by its id, by its images (another writer gives the same document another id), or by the URLs that it came from.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcr_dataset.stage.stages import STAGES, read_jsonl, write_text

LOG_NAME = "removed.jsonl"
_REMEDY = "fix or remove the line"


class Takedowns:
    """What must not be published again.

    Args:
        entries: lines of the log: `id`, `source`, `images` (sha256 of each), `reason`; or `url_pattern`, `reason`.

    Raises:
        ValueError: a pattern is not a regular expression.
    """

    def __init__(self, entries: Iterable[Mapping[str, Any]] = ()) -> None:
        self.entries = list(entries)
        self._by_id: dict[str, str] = {}
        self._by_images: dict[tuple[str, ...], str] = {}
        self._by_page: dict[tuple[str | None, ...], str] = {}
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        for entry in self.entries:
            reason = str(entry.get("reason"))
            if entry.get("url_pattern"):
                self._patterns.append((compile_pattern(str(entry["url_pattern"])), reason))
                continue
            self._by_id[str(entry.get("id"))] = reason
            if entry.get("images"):
                self._by_images[tuple(sorted(entry["images"]))] = reason
            source = entry.get("source") or {}
            page = (source.get("document_url"), *(source.get("picture_urls") or ()))
            if any("://" in (url or "") for url in page):  # a file name is no address: archives repeat them
                self._by_page[page] = reason

    def __bool__(self) -> bool:
        return bool(self.entries)

    def fingerprint(self) -> str:
        """Hash that changes with the log."""
        lines = sorted(json.dumps(entry, sort_keys=True) for entry in self.entries)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def reason(
        self, id_: str | None, sha256s: Sequence[str], document_url: str | None, image_urls: Sequence[str | None]
    ) -> tuple[str, str] | None:
        """Why a row was taken out, None if it was not.

        Args:
            id_: id of the row; None before its dialogue is written.
            sha256s: digests of its images.
            document_url: address of its document.
            image_urls: address of each of its images.
        """
        found = self._by_id.get(id_) if id_ is not None else None
        found = found or self._by_images.get(tuple(sorted(sha256s))) or self._by_page.get((document_url, *image_urls))
        if found is None:
            urls = [url for url in (document_url, *image_urls) if url]
            found = next((why for pattern, why in self._patterns if any(map(pattern.search, urls))), None)
        return None if found is None else ("taken_out", found)


def compile_pattern(url_pattern: str) -> re.Pattern[str]:
    """A pattern for addresses.

    Raises:
        ValueError: it is not a regular expression.
    """
    try:
        return re.compile(url_pattern)
    except re.error as error:
        raise ValueError(f"--url_pattern {url_pattern!r}: not a regular expression ({error})") from error


def work_of(folder: Path) -> Path | None:
    """Work folder of a data set folder, None if it has none on this machine."""
    place = Path(os.path.abspath(folder))
    work = place.with_name(place.name + ".work")
    return work if (work / STAGES["collect"]).is_dir() else None


def load_takedowns(folder: Path, work: Path) -> Takedowns:
    """The log of a build; what only the published copy holds is added to it (sets of version 0.1, or moved ones).

    Raises:
        ValueError: a line is invalid; the message names it.
    """
    published, own = _read(folder), _read(work)
    missing = [entry for entry in published if entry not in own]
    if missing:
        _append(work, missing)
    return Takedowns([*own, *missing])


def log_takedowns(folder: Path, rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]] = ()) -> None:
    """Add rows to the log and its published copy, before they are removed.

    Args:
        folder: the data set folder.
        rows: entries of rows that the folder holds.
        others: ids that it doesn't hold, and patterns: for later builds only, so not published.
    """
    work = work_of(folder)
    if work is not None:
        _append(work, [*rows, *others])
    _append(folder, rows)


def _read(folder: Path) -> list[dict[str, Any]]:
    path = folder / LOG_NAME
    return list(read_jsonl(path, _REMEDY)) if path.is_file() else []


def _append(folder: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    known = _read(folder)
    new = [entry for entry in entries if entry not in known]
    if new:
        lines = (json.dumps(entry, ensure_ascii=False) + "\n" for entry in [*known, *new])
        write_text(folder / LOG_NAME, "".join(lines))
