"""What all stages share on disk: numbered folders, shards that appear whole or not at all, removed rows with reasons.

    mmcr-310k.work/1_candidates/00000.parquet   2_dialogues/00000.jsonl   3_kept/00000.jsonl
                   1_removed/REASON.jsonl       2_removed/REASON.jsonl    3_removed/REASON.jsonl

A stage works shard by shard. `stage.json` in its folder says with which settings, and what came of it; a shard that is
finished under the same settings is not made again.
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
    """Write a file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def write_jsonl(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line; the file appears whole or not at all."""
    write_text(path, "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file.

    Raises:
        ValueError: a line is no JSON object; names the file and the line.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"{path} line {number}: not JSON ({error}); delete the file to make it again"
                ) from error
            if not isinstance(value, dict):
                raise ValueError(f"{path} line {number}: expected an object, got {type(value).__name__}")
            yield value


class Stage:
    """One stage's folder in a work folder.

    Args:
        work: the work folder of a build.
        name: `collect`, `generate` or `filter`.
        settings: everything that decides the stage's output, its input's fingerprint included. With other settings
            than last time the folder is emptied: what is on disk always belongs together.
    """

    def __init__(self, work: Path, name: str, settings: Mapping[str, Any]) -> None:
        self.name = name
        self.folder = work / STAGES[name]
        self.removed_folder = work / f"{STAGES[name][0]}_removed"
        text = json.dumps(settings, sort_keys=True, default=str)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()
        self._state = self.folder / "stage.json"
        if not self._state.is_file() or json.loads(self._state.read_text())["fingerprint"] != self.fingerprint:
            for folder in (self.folder, self.removed_folder):
                shutil.rmtree(folder, ignore_errors=True)
            write_text(
                self._state, json.dumps({"fingerprint": self.fingerprint, "settings": json.loads(text)}, indent=1)
            )

    @staticmethod
    def settings_on_disk(work: Path, name: str) -> dict[str, Any] | None:
        """The settings of a stage as it lies there, None if it was never made."""
        state = work / STAGES[name] / "stage.json"
        return json.loads(state.read_text())["settings"] if state.is_file() else None

    @classmethod
    def reopen(cls, work: Path, name: str) -> Stage:
        """A stage that was made before, under its own settings."""
        return cls(work, name, json.loads((work / STAGES[name] / "stage.json").read_text())["settings"])

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
        """Write the removed rows of all shards to one file a reason, and add the shards' counts up."""
        by_reason: dict[str, list[dict[str, Any]]] = {}
        for path in sorted(self.folder.glob("*.removed.jsonl")):
            for row in read_jsonl(path):
                by_reason.setdefault(row["reason"], []).append(row)
        for old in self.removed_folder.glob("*.jsonl"):
            if old.stem not in by_reason:
                old.unlink()
        for reason, rows in by_reason.items():
            write_jsonl(self.removed_folder / f"{reason}.jsonl", rows)
        num_in = num_kept = 0
        removed: Counter[str] = Counter()
        for path in sorted(self.folder.glob("*.count.json")):
            count = json.loads(path.read_text())
            num_in, num_kept = num_in + count["num_in"], num_kept + count["num_kept"]
            removed.update(count["removed"])
        return StageCount(self.name, num_in, num_kept, dict(removed.most_common()))
