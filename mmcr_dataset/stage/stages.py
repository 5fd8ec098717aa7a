"""Layout of all stages on disk: numbered folders, atomically written shards, removed rows with reasons.

    mmcr-310k.work/1_candidates/00000.parquet   2_dialogues/00000.jsonl   3_kept/00000.jsonl
                   1_removed/REASON.jsonl       2_removed/REASON.jsonl    3_removed/REASON.jsonl

A stage works shard by shard. `stage.json` in its folder records its settings; a shard that is finished with the same
settings is skipped on resume.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

STAGES = {"collect": "1_candidates", "generate": "2_dialogues", "score": "3_scores", "filter": "3_kept"}
REMOVED = {"collect": "1_removed", "generate": "2_removed", "score": "3_scores_removed", "filter": "3_removed"}
ENTRIES = "entries"  # with --recipe mmdu: work folder, in that of the build, of the images to cluster
REMOVED_IMAGES = "clusters/removed"  # those that are in no cluster
STATE_NAME = "stage.json"


@dataclass(frozen=True, slots=True)
class Removed:
    """A row that a stage removed: a reason for counting, the detail, and whether the next run retries it."""

    id: str
    reason: str
    detail: str
    retry: bool = False


@dataclass(frozen=True, slots=True)
class StageCount:
    """Counts of a stage: rows in, kept, removed by reason; kept rows by what was mended, and by rules that count."""

    stage: str
    num_in: int
    num_kept: int
    removed: dict[str, int]
    mended: dict[str, int] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)


def show_count(count: StageCount) -> str:
    """The counts of a stage on one line."""
    done = f"{count.stage:>9}: {count.num_in} in, {count.num_kept} kept"
    for name in ("removed", "mended", "counted"):
        numbers = ", ".join(f"{number} {what}" for what, number in getattr(count, name).items())
        done += f"; {name}: {numbers}" if numbers else ""
    return done


def write_text(path: Path, text: str) -> None:
    """Atomic write of a text file: temporary file, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def write_jsonl(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """Atomic write of a JSON Lines file."""
    write_text(path, "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))


def read_jsonl(path: Path, remedy: str = "delete the file to make it again") -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file.

    Args:
        path: the file.
        remedy: advice for an invalid line, for the error message.

    Raises:
        ValueError: a line is not a JSON object; the message names the file and the line.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                value = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise ValueError(f"{path} line {number}: not JSON ({error}); {remedy}") from error
            if not isinstance(value, dict):
                raise ValueError(f"{path} line {number}: expected an object, got {type(value).__name__}; {remedy}")
            yield value


def numbered(folder: Path, suffix: str) -> list[tuple[int, Path]]:
    """Number and path of each file `00012.SUFFIX` of a folder, by number; from 100,000 on the names are longer."""
    found = ((path.name.removesuffix(f".{suffix}"), path) for path in folder.glob(f"*.{suffix}"))
    return sorted((int(name), path) for name, path in found if len(name) >= 5 and name.isdecimal())


def _numbers(folder: Path, suffix: str) -> array[int]:
    """As `numbered`, 8 bytes a shard."""
    names = (path.name.removesuffix(f".{suffix}") for path in folder.glob(f"*.{suffix}"))
    return array("q", sorted(array("q", (int(name) for name in names if len(name) >= 5 and name.isdecimal()))))


class Stage:
    """The folder of one stage: `Stage.begin` to write its shards, `Stage.open` to read them.

    Args:
        work: the work folder of a build.
        name: `collect`, `generate`, `score` or `filter`.
        folder: holds the shards: `3_kept`, or `3_kept.unfinished` until shards of other settings are replaced.
        settings: everything that determines the output; `fingerprint` is their hash.
    """

    def __init__(self, work: Path, name: str, folder: Path, settings: Mapping[str, Any]) -> None:
        self.name, self.folder, self.settings = name, folder, settings
        self.removed_folder = work / REMOVED[name]
        self.fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        self._place = work / STAGES[name]

    @classmethod
    def begin(cls, work: Path, name: str, settings: Mapping[str, Any]) -> Stage:
        """Start or resume a stage with these settings.

        Existing shards of other settings stay in place until `close` replaces them by the complete new ones, so a
        build that fails leaves them unchanged. Until then the disk holds both.

        Args:
            work: the work folder of a build.
            name: `collect`, `generate`, `score` or `filter`.
            settings: everything that determines the output, the fingerprint of the input included.
        """
        settings = json.loads(json.dumps(settings, default=str))
        place, unfinished = _folders(work, name)
        for folder in (place, unfinished):
            if _settings_in(folder) == settings:
                return cls(work, name, folder, settings)
        shutil.rmtree(unfinished, ignore_errors=True)
        stage = cls(work, name, unfinished if place.exists() else place, settings)
        state = {"fingerprint": stage.fingerprint, "settings": settings}
        write_text(stage.folder / STATE_NAME, json.dumps(state, indent=1))
        return stage

    @classmethod
    def open(cls, work: Path, name: str) -> Stage:
        """Open an existing stage for reading; writes nothing.

        Raises:
            ValueError: the work folder doesn't have this stage.
        """
        settings = cls.settings_on_disk(work, name)
        if settings is None:
            raise ValueError(
                f"{work}: no {STAGES[name]}/{STATE_NAME} in it; expected the OUT.work folder of a build, run "
                "`python -m mmcr_dataset build` first"
            )
        return cls(work, name, work / STAGES[name], settings)

    @staticmethod
    def settings_on_disk(work: Path, name: str) -> dict[str, Any] | None:
        """The settings of the stage on disk, None if there is none."""
        return _settings_in(work / STAGES[name])

    def shard(self, number: int, suffix: str) -> Path:
        """Path of a shard's file."""
        return self.folder / f"{number:05d}.{suffix}"

    def is_finished(self, number: int) -> bool:
        """True if the shard is complete, its removed rows included."""
        return self.shard(number, "count.json").is_file()

    def has_retries(self, number: int) -> bool:
        """True if a finished shard removed rows that are to be retried."""
        return any(row["retry"] for row in read_jsonl(self.shard(number, "removed.jsonl")))

    def num_in(self, number: int) -> int:
        """Number of input rows of a finished shard."""
        return int(json.loads(self.shard(number, "count.json").read_text())["num_in"])

    def removed_rows(self, number: int) -> list[Removed]:
        """The rows that were removed from a finished shard, in order."""
        return [Removed(**row) for row in read_jsonl(self.shard(number, "removed.jsonl"))]

    def invalidate(self, number: int) -> None:
        """Mark a finished shard as unfinished."""
        self.shard(number, "count.json").unlink(missing_ok=True)

    def delete_from(self, number: int) -> None:
        """Delete the shards from a number on, left by an earlier, longer run."""
        for suffix in ("parquet", "jsonl", "removed.jsonl", "count.json"):
            for found, path in numbered(self.folder, suffix):
                if found >= number:
                    path.unlink()

    def content_hash(self) -> str:
        """Hash of settings and shards, the input fingerprint of the next stage."""
        digest = hashlib.sha256(self.fingerprint.encode())
        for number in _numbers(self.folder, "jsonl"):
            digest.update(self.shard_hash(number).encode())
        return digest.hexdigest()

    def shard_hash(self, number: int) -> str:
        """Hash of a shard's rows: noted by who finished it, computed anew where the file was changed since."""
        path, counted = self.shard(number, "jsonl"), self.shard(number, "count.json")
        if counted.is_file() and counted.stat().st_mtime_ns >= path.stat().st_mtime_ns:
            noted = json.loads(counted.read_text("utf-8")).get("rows", {})
            if noted.get("size_bytes") == path.stat().st_size:
                return str(noted["sha256"])
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def finish(
        self,
        number: int,
        num_in: int,
        num_kept: int,
        removed: Iterable[Removed],
        mended: Mapping[str, int] = {},
        counted: Mapping[str, int] = {},
    ) -> None:
        """Write a shard's removed rows, then mark it finished; the shard's own file must exist.

        Args:
            number: of the shard.
            num_in: input rows.
            num_kept: rows in the shard's file.
            removed: the other input rows, in order.
            mended: number of kept rows by what was mended in them.
            counted: number of kept rows by the rule they violate that only counts.
        """
        removed = list(removed)
        assert num_in == num_kept + len(removed), f"{self.name} shard {number}: {num_in} in, {num_kept} kept, {removed}"
        write_jsonl(self.shard(number, "removed.jsonl"), map(asdict, removed))
        reasons = Counter(row.reason for row in removed)
        count = StageCount(self.name, num_in, num_kept, dict(reasons), dict(mended), dict(counted))
        path, rows = self.shard(number, "jsonl"), {}
        if path.is_file():
            rows = {"size_bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        write_text(self.shard(number, "count.json"), json.dumps(asdict(count) | {"rows": rows}))

    def close(self) -> StageCount:
        """Replace the shards of other settings, and write the removed rows to one file a reason."""
        if self.folder != self._place:
            former = self._place.with_name(f"{self._place.name}.former")
            shutil.rmtree(former, ignore_errors=True)
            if self._place.exists():
                self._place.rename(former)
            self.folder = self.folder.rename(self._place)
            shutil.rmtree(former, ignore_errors=True)
        shutil.rmtree(self.removed_folder, ignore_errors=True)
        self.removed_folder.mkdir()
        for number in _numbers(self.folder, "removed.jsonl"):
            by_reason: dict[str, list[str]] = {}
            for row in read_jsonl(self.shard(number, "removed.jsonl")):
                by_reason.setdefault(row["reason"], []).append(json.dumps(row, ensure_ascii=False) + "\n")
            for reason, lines in by_reason.items():
                with (self.removed_folder / f"{reason}.jsonl").open("a", encoding="utf-8") as file:
                    file.writelines(lines)
        return self.count()

    def count(self) -> StageCount:
        """Sum of the shards' counts."""
        num_in = num_kept = 0
        sums: dict[str, Counter[str]] = {name: Counter() for name in ("removed", "mended", "counted")}
        for number in _numbers(self.folder, "count.json"):
            count = json.loads(self.shard(number, "count.json").read_text())
            num_in, num_kept = num_in + count["num_in"], num_kept + count["num_kept"]
            for name, numbers in sums.items():
                numbers.update(count.get(name, {}))
        return StageCount(self.name, num_in, num_kept, **{name: dict(n.most_common()) for name, n in sums.items()})


def _folders(work: Path, name: str) -> tuple[Path, Path]:
    """Folder of a stage, and the folder it is written to while shards of other settings exist."""
    return work / STAGES[name], work / f"{STAGES[name]}.unfinished"


def _settings_in(folder: Path) -> dict[str, Any] | None:
    path = folder / STATE_NAME
    if not path.is_file():
        return None
    try:
        settings: dict[str, Any] = json.loads(path.read_text("utf-8"))["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the state of a stage ({error}); delete {folder} to make it again") from error
    return settings


def invalidate_shards(work: Path, name: str, numbers: Iterable[int]) -> None:
    """Mark finished shards of a stage as unfinished, so that the next build writes them again."""
    for number in numbers:
        for folder in _folders(work, name):
            (folder / f"{number:05d}.count.json").unlink(missing_ok=True)
