"""What all stages share on disk: numbered folders, shards that appear atomically, removed rows with reasons.

    mmcr-310k.work/1_candidates/00000.parquet   2_dialogues/00000.jsonl   3_kept/00000.jsonl
                   1_removed/REASON.jsonl       2_removed/REASON.jsonl    3_removed/REASON.jsonl

A stage works shard by shard. `stage.json` in its folder says with which settings; a shard that is finished under the
same settings is not made again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STAGES = {"collect": "1_candidates", "generate": "2_dialogues", "score": "3_scores", "filter": "3_kept"}
REMOVED = {"collect": "1_removed", "generate": "2_removed", "score": "3_scores_removed", "filter": "3_removed"}
STATE_NAME = "stage.json"


@dataclass(frozen=True, slots=True)
class Removed:
    """A row that a stage took out: why (a short name, counted), what exactly, and if it is tried again next time."""

    id: str
    reason: str
    detail: str
    retry: bool = False


@dataclass(frozen=True, slots=True)
class StageCount:
    """What a stage did: rows that came in and went on, and how many were removed for which reason."""

    stage: str
    num_in: int
    num_kept: int
    removed: dict[str, int]


def show_count(count: StageCount) -> str:
    """One line on what a stage did."""
    removed = ", ".join(f"{number} {reason}" for reason, number in count.removed.items())
    done = f"{count.stage:>9}: {count.num_in} in, {count.num_kept} kept"
    return f"{done}; removed: {removed}" if removed else done


def write_text(path: Path, text: str) -> None:
    """Write a file that appears atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def write_jsonl(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line; the file appears atomically."""
    write_text(path, "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))


def read_jsonl(path: Path, remedy: str = "delete the file to make it again") -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file.

    Args:
        path: the file.
        remedy: what to do about a broken line.

    Raises:
        ValueError: a line is no JSON object; names the file and the line.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path} line {number}: not JSON ({error}); {remedy}") from error
            if not isinstance(value, dict):
                raise ValueError(f"{path} line {number}: expected an object, got {type(value).__name__}; {remedy}")
            yield value


class Stage:
    """One stage's folder in a work folder: `Stage.begin` to write shards, `Stage.open` to read them.

    Attributes:
        folder: where its shards are: `3_kept`, or `3_kept.unfinished` while one of other settings is replaced.
        settings: everything that decided its output.
        fingerprint: hash of the settings.
    """

    def __init__(self, work: Path, name: str, folder: Path, settings: Mapping[str, Any]) -> None:
        self.name, self.folder, self.settings = name, folder, settings
        self.removed_folder = work / REMOVED[name]
        self.fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        self._place = work / STAGES[name]

    @classmethod
    def begin(cls, work: Path, name: str, settings: Mapping[str, Any]) -> Stage:
        """The stage with these settings, new or as far as it is there.

        One of other settings stays whole until `close`: its shards are replaced when the new ones are complete, so a
        build that fails leaves it as it was. Until then both take room on the disk.

        Args:
            work: the work folder of a build.
            name: `collect`, `generate`, `score` or `filter`.
            settings: everything that decides the stage's output, its input's fingerprint included.
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
        """A stage that was made before, to read it; writes nothing.

        Raises:
            ValueError: it was never made.
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
        """The settings of a stage as it lies there, None if it was never made."""
        return _settings_in(work / STAGES[name])

    def shard(self, number: int, suffix: str) -> Path:
        """Path of a shard of this stage."""
        return self.folder / f"{number:05d}.{suffix}"

    def is_finished(self, number: int) -> bool:
        """True if the shard was completed, its removed rows included."""
        return (self.folder / f"{number:05d}.count.json").is_file()

    def has_retries(self, number: int) -> bool:
        """True if a finished shard removed rows that are to be tried again."""
        return any(row["retry"] for row in read_jsonl(self.folder / f"{number:05d}.removed.jsonl"))

    def num_in(self, number: int) -> int:
        """Rows that went into a finished shard."""
        return int(json.loads((self.folder / f"{number:05d}.count.json").read_text())["num_in"])

    def removed_rows(self, number: int) -> list[Removed]:
        """The rows that a finished shard removed, in order."""
        return [Removed(**row) for row in read_jsonl(self.folder / f"{number:05d}.removed.jsonl")]

    def forget(self, number: int) -> None:
        """Take the mark of a finished shard away: it is made again."""
        (self.folder / f"{number:05d}.count.json").unlink(missing_ok=True)

    def drop_from(self, number: int) -> None:
        """Delete the shards from a number on: what an earlier, longer run left."""
        for path in self.folder.glob("?????.*"):
            if path.name[:5].isdigit() and int(path.name[:5]) >= number:
                path.unlink()

    def content_hash(self) -> str:
        """Hash of all shards: what the next stage depends on."""
        digest = hashlib.sha256(self.fingerprint.encode())
        for path in sorted(self.folder.glob("?????.jsonl")):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    def finish(self, number: int, num_in: int, num_kept: int, removed: Iterable[Removed]) -> None:
        """Write the removed rows of a shard, then mark it finished; the shard's own file must be in place."""
        removed = list(removed)
        assert num_in == num_kept + len(removed), f"{self.name} shard {number}: {num_in} in, {num_kept} kept, {removed}"
        write_jsonl(self.folder / f"{number:05d}.removed.jsonl", map(asdict, removed))
        reasons = Counter(row.reason for row in removed)
        count = {"num_in": num_in, "num_kept": num_kept, "removed": dict(reasons)}
        write_text(self.folder / f"{number:05d}.count.json", json.dumps(count))

    def close(self) -> StageCount:
        """Put the shards in the place of those of other settings, and write the removed rows to one file a reason."""
        if self.folder != self._place:
            former = self._place.with_name(f"{self._place.name}.former")
            shutil.rmtree(former, ignore_errors=True)
            if self._place.exists():
                self._place.rename(former)
            self.folder = self.folder.rename(self._place)
            shutil.rmtree(former, ignore_errors=True)
        by_reason: dict[str, list[dict[str, Any]]] = {}
        for path in sorted(self.folder.glob("*.removed.jsonl")):
            for row in read_jsonl(path):
                by_reason.setdefault(row["reason"], []).append(row)
        for old in self.removed_folder.glob("*.jsonl"):
            if old.stem not in by_reason:
                old.unlink()
        for reason, rows in by_reason.items():
            write_jsonl(self.removed_folder / f"{reason}.jsonl", rows)
        return self.count()

    def count(self) -> StageCount:
        """The shards' counts added up."""
        num_in = num_kept = 0
        removed: Counter[str] = Counter()
        for path in sorted(self.folder.glob("*.count.json")):
            count = json.loads(path.read_text())
            num_in, num_kept = num_in + count["num_in"], num_kept + count["num_kept"]
            removed.update(count["removed"])
        return StageCount(self.name, num_in, num_kept, dict(removed.most_common()))


def _folders(work: Path, name: str) -> tuple[Path, Path]:
    """Where a stage is, and where it is made while one of other settings is there."""
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


def forget_shards(work: Path, name: str, numbers: Iterable[int]) -> None:
    """Take the marks of a stage's finished shards away: they are made again by the next build."""
    for number in numbers:
        for folder in _folders(work, name):
            (folder / f"{number:05d}.count.json").unlink(missing_ok=True)
