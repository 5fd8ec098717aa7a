"""Files of a source, local or in a data set repository on the Hub; read by range requests, never downloaded whole.

Hub locations have the form `hub:ORG/NAME[@REVISION][:GLOB]`; HF_ENDPOINT and the token of huggingface_hub apply.
"""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mmcr_dataset.record.paths import is_inside

if TYPE_CHECKING:
    from huggingface_hub import HfFileSystem

log = logging.getLogger(__name__)

_HUB = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^:]+))?(?::(?P<glob>.+))?")


@dataclass(frozen=True)
class SourceFile:
    """A file to read from.

    Attributes:
        name: path relative to the source.
        size_bytes: size of the file.
        version: changes with the content: the Hub's hash, or size and modification time.
        path: local path, None for a file on the Hub.
        address: path in the Hub's file system.
    """

    name: str
    size_bytes: int
    version: str
    path: Path | None = None
    address: str = ""

    @property
    def remedy(self) -> str:
        """Advice for a read error."""
        return (
            "fetch it again" if self.path is not None else "if the Hub was down, run the same command again to resume"
        )

    def open(self, in_order: bool = False) -> IO[bytes]:
        """Open the file for seekable reading.

        Args:
            in_order: for the Hub: True reads ahead 5 MB at a time, False makes one range request for each read.

        Raises:
            ValueError: the file can't be opened.
        """
        try:
            if self.path is not None:
                return self.path.open("rb")
            opened: IO[bytes] = _hub_files().open(self.address, "rb", cache_type="readahead" if in_order else "none")
            return opened
        except OSError as error:
            raise ValueError(f"{self.name}: can't be opened ({error})") from error


def hub_errors() -> tuple[type[Exception], ...]:
    """Exceptions of reading a file: OSError, and HTTPError of huggingface_hub's HTTP library."""
    from huggingface_hub.errors import HfHubHTTPError

    return (OSError, *(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"))


@cache
def _hub_files() -> HfFileSystem:
    """The Hub's file system, one for all threads; a rank has its own, without what this process has listed."""
    from huggingface_hub import HfFileSystem

    return HfFileSystem()


def list_files(location: str, endings: Sequence[str]) -> list[SourceFile]:
    """The files with one of these suffixes at a path or Hub location, sorted by name.

    Raises:
        ValueError: there is no such location, or no such file in it.
    """
    if location.startswith("hub:"):
        return _list_hub(location, endings)
    path = Path(location)
    if not path.exists():
        raise ValueError(f"--source {location}: no such file or folder")
    found = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    files: list[SourceFile] = []
    for file in found:
        if file != path and not is_inside(file, path):
            log.warning("%s: left out, it is a link to a file outside of %s; copy it", file, path)
        elif file.name.endswith(tuple(endings)):
            stat = file.stat()
            name = file.name if file == path else file.relative_to(path).as_posix()
            files.append(SourceFile(name, stat.st_size, f"{stat.st_size} {stat.st_mtime_ns}", path=file.absolute()))
    if not files:
        raise ValueError(f"--source {location}: no file there that ends in {' or '.join(endings)}")
    return files


def _list_hub(location: str, endings: Sequence[str]) -> list[SourceFile]:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.hf_api import RepoFile

    asked = _HUB.fullmatch(location)
    if asked is None:
        raise ValueError(f"--source {location}: expected hub:ORG/NAME[@REVISION][:GLOB]")
    repo, pattern = asked["repo"], asked["glob"]
    try:
        commit = HfApi().dataset_info(repo, revision=asked["revision"]).sha
        entries = [
            entry
            for entry in HfApi().list_repo_tree(repo, repo_type="dataset", revision=commit, recursive=True)
            if isinstance(entry, RepoFile)
        ]
    except GatedRepoError as error:
        raise ValueError(
            f"--source {location}: accept its terms on the Hub, then log in with `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ValueError(
            f"--source {location}: no such data set or revision; if it is private, log in with `hf auth login`"
        ) from error
    except hub_errors() as error:
        raise ValueError(f"--source {location}: the Hub can't be reached ({error})") from error
    chosen = [
        entry
        for entry in sorted(entries, key=lambda entry: entry.path)
        if entry.path.endswith(tuple(endings)) and (pattern is None or fnmatch.fnmatchcase(entry.path, pattern))
    ]
    if not chosen:
        there = ", ".join(entry.path for entry in entries[:5]) or "nothing"
        raise ValueError(
            f"--source {location}: no file that ends in {' or '.join(endings)}"
            + (f" and matches {pattern}" if pattern else "")
            + f"; it has {there}{' ...' if len(entries) > 5 else ''}"
        )
    start = f"datasets/{repo}@{commit}"
    return [SourceFile(entry.path, entry.size, entry.blob_id, address=f"{start}/{entry.path}") for entry in chosen]
