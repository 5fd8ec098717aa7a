"""A data set on the Hub, `ORG/NAME[@REVISION]`: its pinned revision, and its files as a folder."""

from __future__ import annotations

import re
from pathlib import Path

from eval_tasks.rows.label_sums import REVISIONS
from eval_tasks.rows.label_versions import note_hub

_HUB_ID = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(?:@([\w./-]+))?")


def hub_id(place: str) -> tuple[str, str | None] | None:
    """(id, revision) of `ORG/NAME@REVISION`, the revision a pinned one or None without one; None for a path."""
    match = None if Path(place).exists() else _HUB_ID.fullmatch(place)
    return match and (match[1], match[2] or REVISIONS.get(match[1]))


def not_loaded(name: str, revision: str | None, error: Exception, remedy: str) -> ValueError:
    """The error of a data set that can't be loaded from the Hub, with what to do."""
    at = f" at revision {revision}" if revision else ""
    newest = f"; {name}@main is its newest revision" if revision and revision != "main" else ""
    why = str(error).strip().split("\n", maxsplit=1)[0]
    return ValueError(f"{name}{at} can't be loaded from the Hub ({why}); pass --data {remedy}{newest}")


def hub_folder(name: str, revision: str | None, remedy: str, patterns: list[str] | None = None) -> Path:
    """The files of a data set in the Hub's cache; its commit is noted for the results.

    Raises:
        ValueError: it can't be loaded; `remedy` is what to pass with --data instead.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=patterns)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise not_loaded(name, revision, error, remedy) from error
    note_hub(name, None, Path(folder).name)  # a snapshot's folder is named for its commit
    return Path(folder)
