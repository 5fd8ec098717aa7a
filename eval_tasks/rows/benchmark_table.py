"""Which files of a folder are a benchmark's table: by the names that VLMEvalKit and the Hub give them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval_tasks.rows.table_files import SUFFIXES, table_files

# Words that may follow a benchmark's name without making it another benchmark, as `v2` or `Pro` would.
_SPLITS = r"dev|test|val|valid|validation|train|mini|testmini"
_MORE = re.compile(
    rf"(?:{_SPLITS}|en|v1|v11|img|images?|no|mask|local|sub|subset|samples?|small|tiny|part|shard|of|full|all|official"
    r"|questions?|data|\d+k?)"
)
_GENERIC = re.compile(rf"(?:{_SPLITS}|data|default|rows|table|questions?|of|partial|\d+)")


class NotThere(ValueError):
    """A folder doesn't hold the benchmark's table."""


@dataclass(frozen=True, slots=True)
class HubRows:
    """A data set on the Hub: its id, split, configuration and pinned revision.

    `columns` are pairs (our name of a column, its name there), for names other than VLMEvalKit's.
    """

    name: str
    split: str
    config: str | None = None
    revision: str | None = None
    columns: tuple[tuple[str, str], ...] = ()

    def renamed(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row under our names; a column that has our name already stays."""
        theirs = {there: ours for ours, there in self.columns if there in row and ours not in row}
        return {theirs.get(name, name): cell for name, cell in row.items()}


def benchmark_files(place: Path, stem: str | None, hub: HubRows) -> list[Path]:
    """The files of a benchmark's table: the file itself, or those of a folder that are named for it.

    A file is named for the benchmark if its name is (`MMBench_DEV_EN.tsv`), or if a folder's is and the file's says
    nothing else (`MMStar/val-00000-of-00001.parquet`).

    Args:
        place: a file or a folder.
        stem: the benchmark's name in file names; None takes any single table.
        hub: its data set on the Hub, for the split and the configuration of shards.

    Raises:
        ValueError: there is no such file, or more than one table.
    """
    if not place.is_dir() or stem is None:
        return table_files(place)
    tables = [path for path in _tables_in(place) if path.suffix != ".json" or _fits(path.stem, stem)]
    named = [path for path in tables if _fits(path.stem, stem)]
    if not named:
        inside = any(_names(part, stem) for part in place.absolute().parts[-4:])
        shards = [path for path in tables if _is_generic(path.stem)]
        named = [path for path in shards if any(_names(part, stem) for part in path.relative_to(place).parts[:-1])]
        if not named and (inside or all(_is_plain(path, place, hub) for path in tables)):
            named = shards
    if not named:
        names = ", ".join(str(path.relative_to(place)) for path in tables[:8]) or "no table at all"
        raise NotThere(
            f"{place} doesn't hold the table of {stem}: expected {stem}*.tsv, or the shards of {hub.name}; it has "
            f"{names}. Name the file itself if one of them is it"
        )
    return _one_table(place, named, hub)


def _tables_in(place: Path) -> Iterator[Path]:
    for path in sorted(place.rglob("*")):
        hidden = any(part.startswith((".", "_")) for part in path.relative_to(place).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path


def _one_table(place: Path, named: Sequence[Path], hub: HubRows) -> list[Path]:
    """The files of one table: all shards of a split, or a single file."""
    first = min((SUFFIXES.index(path.suffix.lower()) for path in named), default=0)
    found = [path for path in named if path.suffix.lower() == SUFFIXES[first]]
    if SUFFIXES[first] == ".parquet":
        found = [path for path in found if hub.config in path.relative_to(place).parts] or found
        found = [path for path in found if _split(path) == hub.split] or found
        if len({_split(path) for path in found}) == 1:
            return found
    found = [path for path in found if "local" not in _words(path.stem)] or found  # VLMEvalKit's own cached copy
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(place)) for path in found[:8])
        raise ValueError(f"{place} holds several {SUFFIXES[first]} files ({names}); name one of them")
    return found


def _split(path: Path) -> str:
    return next((word for word in _words(path.stem) if re.fullmatch(_SPLITS, word)), "")


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]


def _fits(name: str, stem: str) -> bool:
    """True if a file's name is the benchmark's, followed by nothing but words of splits and parts."""
    words, wanted = _words(name), "".join(_words(stem))
    return any(
        "".join(words[:end]) == wanted and all(_MORE.fullmatch(word) for word in words[end:])
        for end in range(1, len(words) + 1)
    )


def _names(part: str, stem: str) -> bool:
    """True if a folder's name ends in the benchmark's: `MMStar`, `datasets--Lin-Chen--MMStar`."""
    words = _words(part)
    return any(_fits(" ".join(words[start:]), stem) for start in range(len(words)))


def _is_generic(name: str) -> bool:
    words = _words(name)
    return bool(words) and all(_GENERIC.fullmatch(word) for word in words)


def _is_plain(path: Path, place: Path, hub: HubRows) -> bool:
    """True if neither the file nor a folder above it has a name that could be another benchmark's."""
    folders = [part for part in path.relative_to(place).parts[:-1] if part != hub.config]
    return _is_generic(path.stem) and all(map(_is_generic, folders))
