"""The takedown log of a data set: rows that were taken out, by a takedown or a bench's draw, and stay out.

`OUT.removed.jsonl`, beside the data set and its work folder, is what later builds, imports, draws and uploads apply;
only its owner may read it. `OUT/removed.jsonl` is what is published of it: ids and classes of reasons. A row is known
again by its id, by its images (another writer gives the same document another id), or by the URLs that it came from.
Rules name what was never in the set: a pattern for addresses, an owner's address, an image.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.image_licences import pages_of
from mmcr_dataset.stage.stages import read_jsonl, write_text

LOG_NAME = "removed.jsonl"
TAKEN_DOWN = "taken down"
RULES = ("url_pattern", "owner", "image_sha256")
_DRAWN = ("drawn for ", "shows an image of ")  # the row is in a bench, or shares an image with it
_REPEATED = "repeated images"  # another row with these images stays
_CLASSES = re.compile(
    r"(?:drawn for|shows an image of|overlap with) [\w. -]{1,64}|repeated images|requested|taken down"
)


class Takedowns:
    """What must not be published again.

    Args:
        entries: lines of the log: `id`, `source`, `images` (sha256 of each), `phashes` (of each, since its file differs
            with `--reencode`), `reason`; or one of RULES, and `reason`.

    Raises:
        ValueError: a pattern is not a regular expression.
    """

    def __init__(self, entries: Iterable[Mapping[str, Any]] = ()) -> None:
        self.entries = list(entries)
        self._by_id: dict[str, str] = {}
        self._by_images: dict[tuple[str, ...], str] = {}  # by sha256, or by perceptual hash
        self._by_page: dict[tuple[str | None, ...], str] = {}
        self._by_image: dict[str, str] = {}
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        self._owners: list[tuple[str, str]] = []
        for entry in self.entries:
            reason = str(entry.get("reason") or TAKEN_DOWN)
            if any(entry.get(rule) for rule in RULES):
                self._add_rule(entry, reason)
                continue
            self._by_id[str(entry.get("id"))] = reason
            if reason == _REPEATED:
                continue
            for name in ("images", "phashes"):
                if entry.get(name):
                    self._by_images[tuple(sorted(entry[name]))] = reason
            source = entry.get("source") or {}
            page = (source.get("document_url"), *(source.get("picture_urls") or ()))
            if any("://" in (url or "") for url in page):  # a file name is no address: archives repeat them
                self._by_page[page] = reason

    def _add_rule(self, entry: Mapping[str, Any], reason: str) -> None:
        if entry.get("url_pattern"):
            self._patterns.append((compile_pattern(str(entry["url_pattern"])), reason))
        elif entry.get("owner"):
            self._owners.append((str(entry["owner"]), reason))
        else:
            self._by_image[str(entry["image_sha256"])] = reason

    def __bool__(self) -> bool:
        return bool(self.entries)

    @property
    def needs_images(self) -> bool:
        """True if the digests of a row's images can decide."""
        return bool(self._by_image or self._by_images)

    def without_draws(self) -> Takedowns:
        """What must not be in a bench either: all but what was taken out because it is in one."""
        return Takedowns(entry for entry in self.entries if not str(entry.get("reason")).startswith(_DRAWN))

    def fingerprint(self) -> str:
        """Hash that changes with the log."""
        lines = sorted(json.dumps(entry, sort_keys=True) for entry in self.entries)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def named(self) -> Takedowns:
        """What was named itself, by id or by a rule: not another row of the same page or with the same images."""
        entries = [
            entry if any(entry.get(rule) for rule in RULES) else {name: entry.get(name) for name in ("id", "reason")}
            for entry in self.entries
        ]
        return Takedowns(entries)

    def reason(
        self,
        id_: str | None,
        sha256s: Sequence[str],
        document_url: str | None,
        image_urls: Sequence[str | None],
        licence: str | None = None,
        phashes: Sequence[str | None] = (),
    ) -> tuple[str, str] | None:
        """Why a row was taken out, None if it was not.

        Args:
            id_: id of the row; None before its dialogue is written.
            sha256s: digests of its images.
            document_url: address of its document.
            image_urls: address of each of its images.
            licence: its licence, which names the pages of images that come from several.
            phashes: perceptual hashes of its images.
        """
        found = self._by_id.get(id_) if id_ is not None else None
        for digests in (sha256s, phashes):
            found = found or self._by_images.get(tuple(sorted(digest or "" for digest in digests)))
        found = found or self._by_page.get((document_url, *image_urls))
        found = found or next((why for sha256 in sha256s if (why := self._by_image.get(sha256))), None)
        if found is None:
            urls = [url for url in (document_url, *image_urls, *pages_of(licence)) if url]
            found = next((why for pattern, why in self._patterns if any(map(pattern.search, urls))), None)
            found = found or next((why for owner, why in self._owners if any(is_of(owner, url) for url in urls)), None)
        return None if found is None else ("taken_out", found)

    def reason_of(self, dialogue: Dialogue) -> tuple[str, str] | None:
        """Why a dialogue was taken out, None if it was not."""
        images = dialogue.images
        urls = [image.url for image in images]
        hashes, source = [image.sha256 for image in images], dialogue.source
        phashes = [image.phash for image in images]
        return self.reason(dialogue.id, hashes, source.document_url, urls, source.licence, phashes)


def is_of(owner: str, url: str) -> bool:
    """True if an address is of an owner: HOST with its subdomains, or HOST/PATH and what is below it."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removesuffix(".")
    except ValueError:
        return False
    name, _, path = owner.lower().partition("/")
    is_host = host == name or host.endswith(f".{name}")
    path = path.rstrip("/")
    return is_host and (not path or f"{parts.path.lower()}/".startswith(f"/{path}/"))


def compile_pattern(url_pattern: str) -> re.Pattern[str]:
    """A pattern for addresses.

    Raises:
        ValueError: it is not a regular expression.
    """
    try:
        return re.compile(url_pattern)
    except re.error as error:
        raise ValueError(f"--url_pattern {url_pattern!r}: not a regular expression ({error})") from error


def private_log(folder: Path) -> Path:
    """The full log of removals, beside the data set and never published: reasons, addresses, hashes of images."""
    place = folder.resolve()
    return place.with_name(f"{place.name}.{LOG_NAME}")


def load_takedowns(folder: Path) -> Takedowns:
    """The log of a data set; what only the published one holds is added to it (sets of version 0.1, or moved ones).

    Raises:
        ValueError: a line is invalid; the message names it.
    """
    keep_private(folder, _untold(folder))
    return Takedowns(read_log(private_log(folder)))


def log_takedowns(folder: Path, rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]] = ()) -> None:
    """Add rows to both logs, before they are removed.

    Args:
        folder: the data set folder.
        rows: entries of rows that the folder holds.
        others: ids that it doesn't hold, and patterns: for later builds only, so not published.
    """
    keep_private(folder, [*rows, *others])
    publish_log(folder, [*read_log(folder / LOG_NAME), *rows])


def publish_log(folder: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write the published log: the id and the class of the reason of each entry, no address, no free text."""
    lines = [json.dumps({"id": entry["id"], "reason": _to_class(entry)}) for entry in entries if "id" in entry]
    if lines:
        write_text(folder / LOG_NAME, "".join(f"{line}\n" for line in dict.fromkeys(lines)))


def redact_log(folder: Path) -> None:
    """Rewrite the published log so that it names ids and reason classes only; what it told besides becomes private."""
    published = read_log(folder / LOG_NAME)
    if any(entry != {"id": entry.get("id"), "reason": _to_class(entry)} for entry in published):
        keep_private(folder, _untold(folder))
        publish_log(folder, published)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The entries of a log, none if there is no such file.

    Raises:
        ValueError: a line is invalid; the message names it.
    """
    return list(read_jsonl(path, "fix or remove the line")) if path.is_file() else []


def _to_class(entry: Mapping[str, Any]) -> str:
    reason = str(entry.get("reason"))
    return reason if _CLASSES.fullmatch(reason) else TAKEN_DOWN


def _untold(folder: Path) -> list[dict[str, Any]]:
    """What the published log holds and the private one doesn't."""
    told = {entry.get("id") for entry in read_log(private_log(folder))}
    published = read_log(folder / LOG_NAME)
    return [entry for entry in published if entry.get("id") not in told or entry.keys() - {"id", "reason"}]


def keep_private(folder: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Add entries to the private log of a data set, which only its owner may read."""
    path = private_log(folder)
    known = read_log(path)
    new = [entry for entry in entries if entry not in known]
    if not new:
        return
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as log:
        log.writelines(json.dumps(entry, ensure_ascii=False) + "\n" for entry in [*known, *new])
        log.flush()
        os.fsync(log.fileno())
    unfinished.replace(path)
