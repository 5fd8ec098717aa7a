"""Join data sets to one: dedup across them, decontamination, the takedowns of all, one card and one funnel.

The sets are read in the order given, and of rows that repeat each other that of the earliest set stays. Repeats within
one set are left as they are: a set of several dialogues about one image may be made so on purpose.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.filters.contamination import Against, index_sets, reason_contaminated
from mmcr_dataset.filters.repeats import ImageLists
from mmcr_dataset.publish.card import refresh_card
from mmcr_dataset.publish.data_folder import begin_folder, check_replaceable, replace_folder
from mmcr_dataset.publish.parquet import arrow_schema, write_dataset
from mmcr_dataset.record.dialogue import Dialogue, InvalidDialogue
from mmcr_dataset.record.images import ImageError, decode_rgb, perceptual_hash
from mmcr_dataset.record.parquet_memory import rows_a_batch
from mmcr_dataset.record.row import from_row
from mmcr_dataset.stage.progress import log_count, open_bar
from mmcr_dataset.stage.stages import Removed, StageCount, read_jsonl, write_text
from mmcr_dataset.stage.takedowns import LOG_NAME, keep_private, load_takedowns, publish_log, read_log

MADE_BY = "join"
REMOVED_FOLDER = "join_removed"
_ROWS_AT_ONCE = 64
log = logging.getLogger(__name__)


@dataclass
class _Join:
    """A join that is being written: what its rows are compared with, and what was found so far."""

    against: Against
    removed_path: Path
    images: _Known = field(default_factory=lambda: _Known())
    ids: _Known = field(default_factory=lambda: _Known())
    texts: _Known = field(default_factory=lambda: _Known())
    num_in: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)

    def rows(self, folders: Sequence[Path]) -> Iterator[Dialogue]:
        """The rows that stay; those that don't are written to `removed_path`, in order."""
        lists = ImageLists()
        for folder in folders:
            for phashes in _read_phashes(folder):
                lists.add(phashes)
        standing, row = lists.standing(), 0
        with self.removed_path.open("w", encoding="utf-8") as removed, open_bar("join", "row", len(lists)) as bar:
            for number, folder in enumerate(folders):
                for batch in _read_dialogues(folder):
                    known = [str(image.phash) for one in batch if isinstance(one, Dialogue) for image in one.images]
                    contaminated = self.against.contaminated(set(known))
                    for one in batch:
                        images = np.sort(standing[lists.images_of(row)]).tobytes()
                        row += 1
                        result = self._judge(number, folder.name, one, images, contaminated)
                        self.num_in += 1
                        bar.update()
                        if isinstance(result, Dialogue):
                            yield result
                        else:
                            self.reasons[result.reason] += 1
                            removed.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")

    def _judge(
        self, number: int, name: str, one: Dialogue | Removed, images: bytes, contaminated: Mapping[str, str]
    ) -> Dialogue | Removed:
        """The row as it is published, or why it is not."""
        if isinstance(one, Removed):
            return one
        key = hashlib.sha256(images).hexdigest() if images else None
        why = self.against.taken_out.reason_of(one)
        why = why or reason_contaminated([str(image.phash) for image in one.images], contaminated)
        why = why or self._reason_repeated(number, one, key)
        if why is not None:
            return Removed(one.id, why[0], f"{name}: {why[1]}")
        place, text = f"{number} {one.id}", _text_key(one)
        if key is not None:
            self.images.add(key, place)
        if text is not None:
            self.texts.add(text, place)
        earlier = self.ids.find(one.id)
        if earlier is not None:
            renamed = replace(one, id=self._free_id(number, one))
            self.mended["renamed_id"] += 1
            if self.mended["renamed_id"] <= 5:
                log.info("%s: id %s is in %s too, with another dialogue; now %s", name, one.id, earlier, renamed.id)
            one = renamed
        self.ids.add(one.id, name)
        return one

    def _reason_repeated(self, number: int, one: Dialogue, images: str | None) -> tuple[str, str] | None:
        """Why a row repeats one of an earlier set."""
        for reason, found, what in (
            ("repeated_images", self.images.find(images), "the same images"),
            ("repeated_dialogue", self.texts.find(_text_key(one)), "the same text"),
        ):
            if found is not None and int(found.split(" ", 1)[0]) != number:
                return reason, f"{found.split(' ', 1)[1]} of an earlier set has {what}"
        return None

    def _free_id(self, number: int, one: Dialogue) -> str:
        """An id that no row has, the same in every join of these sets."""
        attempt = 0
        while True:
            digest = hashlib.sha256(f"{one.id}\x1f{number}\x1f{attempt}".encode("utf-8", "surrogatepass")).hexdigest()
            if self.ids.find(digest[:32]) is None:
                return digest[:32]
            attempt += 1


class _Known:
    """Names that occurred, each with the place of the first, in a temporary file."""

    def __init__(self) -> None:
        self._names = sqlite3.connect("", isolation_level=None)  # "": a temporary file
        self._names.executescript(
            "PRAGMA journal_mode=OFF; CREATE TABLE seen (name TEXT PRIMARY KEY, place TEXT) WITHOUT ROWID; BEGIN"
        )

    def find(self, name: str | None) -> str | None:
        """The place of a name, None if it is new."""
        row = self._names.execute("SELECT place FROM seen WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def add(self, name: str, place: str) -> None:
        """Add a name; the first place stays."""
        self._names.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (name, place))


def join(folders: Sequence[Path], out: Path, evaluation_sets: Sequence[Path] = ()) -> StageCount:
    """Write the rows of several data set folders as one; returns the counts of the join.

    Args:
        folders: data set folders with published rows.
        out: the new folder; a former join of the same name is replaced.
        evaluation_sets: rows that show an image of these are removed.

    Raises:
        ValueError: a folder is no data set, or the new one; OUT holds something else; or no row is left.
    """
    folders = [Path(folder) for folder in folders]
    _check_folders(folders, out)
    check_replaceable(out, MADE_BY)
    sets = list(index_sets(evaluation_sets))
    logs = [load_takedowns(folder).entries for folder in folders]
    keep_private(out, [entry for entries in logs for entry in entries])
    removed_folder = out.with_name(out.name + ".work") / REMOVED_FOLDER
    removed_folder.mkdir(parents=True, exist_ok=True)
    joining = _Join(Against(sets, load_takedowns(out)), removed_folder / "all.jsonl")
    unfinished = begin_folder(out)
    size_bytes = sum(path.stat().st_size for folder in folders for path in _shards(folder))
    num_rows = sum(write_dataset(joining.rows(folders), unfinished, size_bytes).values())
    count = StageCount(MADE_BY, joining.num_in, num_rows, dict(joining.reasons.most_common()), dict(joining.mended))
    _split_by_reason(joining.removed_path)
    if num_rows == 0:
        raise ValueError(f"{out}: none of {count.num_in} rows is left; the reasons are in {removed_folder}")
    funnel = [*_join_funnels(folders), asdict(count)]
    write_text(unfinished / "funnel.json", json.dumps(funnel, indent=1) + "\n")
    gone = [entry for entry in joining.against.taken_out.entries if "source" in entry]
    published = [entry for folder in (*folders, out) for entry in read_log(folder / LOG_NAME)]
    publish_log(unfinished, [*published, *gone])
    refresh_card(unfinished, out.name)
    replace_folder(unfinished, out, MADE_BY)
    return log_count(count)


def _check_folders(folders: Sequence[Path], out: Path) -> None:
    if len(folders) < 2:
        raise ValueError(f"join: name at least two data set folders, got {len(folders)}")
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder; expected one written by `python -m mmcr_dataset build`")
        if places.count(place) > 1:
            raise ValueError(f"{folder}: named twice")
        if place == out.resolve() or place in out.resolve().parents or out.resolve() in place.parents:
            raise ValueError(f"--output_dir {out}: {folder} is read from there; name a new folder")
        if not _shards(folder):
            raise ValueError(f"{folder}: no Parquet shards; expected a folder of `python -m mmcr_dataset build`")
        for path in _shards(folder):
            _check_shard(path)


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def _check_shard(path: Path) -> None:
    """Check that a shard is of training rows, and that nothing of it would be lost.

    Raises:
        ValueError: it is not.
    """
    if not path.name.startswith("train-"):
        raise ValueError(f"{path}: of the split {path.name.split('-')[0]}, only rows of `train` are joined; move it")
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: not a readable Parquet file ({error}); make its set again") from error
    other = sorted(set(arrow_schema().names) ^ set(names))
    if other:
        raise ValueError(f"{path}: its columns differ from the published row ({', '.join(other)}); make its set again")


def _read_dialogues(folder: Path) -> Iterator[list[Dialogue | Removed]]:
    """The rows of a folder in batches, each image with its perceptual hash; broken rows with the reason."""
    for path in _shards(folder):
        yield from _read_shard(path)


def _read_shard(path: Path) -> Iterator[list[Dialogue | Removed]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(rows_a_batch(file, _ROWS_AT_ONCE)):
            yield [_read_row(row, path) for row in batch.to_pylist()]


def _read_phashes(folder: Path) -> Iterator[list[str]]:
    """The perceptual hashes of each row of a folder, none of a broken one."""
    for path in _shards(folder):
        column = pq.read_table(path, columns=["image_phash"], partitioning=None)["image_phash"].to_pylist()
        if all(row and None not in row for row in column):
            yield from column
        else:
            for batch in _read_shard(path):
                for one in batch:
                    yield [str(image.phash) for image in one.images] if isinstance(one, Dialogue) else []


def _read_row(row: Mapping[str, Any], path: Path) -> Dialogue | Removed:
    place = f"{path.parent.name}/{path.name}"
    try:
        dialogue = from_row(row)
        images = [
            image if image.phash else replace(image, phash=perceptual_hash(decode_rgb(image.data)))
            for image in dialogue.images
        ]
    except InvalidDialogue as error:
        return Removed(str(row["id"]), error.invariant, f"{place}: {error.detail}")
    except ImageError as error:
        return Removed(str(row["id"]), error.reason, f"{place}: {error.detail}")
    return replace(dialogue, images=tuple(images))


def _text_key(dialogue: Dialogue) -> str | None:
    """Hash of all questions and answers without case and spacing; None where equal texts are no repeat.

    One question about an image may have the same answer for another image.
    """
    if dialogue.images and len(dialogue.turns) == 1:
        return None
    text = "\x1f".join(part for turn in dialogue.turns for part in (turn.human_text, turn.assistant))
    return hashlib.sha256(" ".join(text.lower().split()).encode("utf-8", "surrogatepass")).hexdigest()


def _split_by_reason(path: Path) -> None:
    """One file a reason in place of one of all."""
    for old in path.parent.glob("*.jsonl"):
        if old != path:
            old.unlink()
    with ExitStack() as stack:
        files: dict[str, TextIO] = {}
        for row in read_jsonl(path):
            reason = row["reason"]
            if reason not in files:
                files[reason] = stack.enter_context((path.parent / f"{reason}.jsonl").open("w", encoding="utf-8"))
            files[reason].write(json.dumps(row, ensure_ascii=False) + "\n")
    path.unlink()


def _join_funnels(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """The stages of all sets, those of one name added up; joins of the sets come before this one."""
    sums: dict[str, dict[str, Any]] = {}
    for folder in folders:
        path = folder / "funnel.json"
        if not path.is_file():
            log.warning("%s: missing, so the card doesn't tell how this set was made", path)
            continue
        for stage in json.loads(path.read_text("utf-8")):
            name = "earlier join" if stage["stage"] == MADE_BY else stage["stage"]
            total = sums.setdefault(name, {"stage": name, "num_in": 0, "num_kept": 0})
            for key in ("num_in", "num_kept"):
                total[key] += stage[key]
            for key in ("removed", "mended", "counted"):
                total[key] = dict((Counter(total.get(key, {})) + Counter(stage.get(key, {}))).most_common())
    order = ["import", "collect", "generate", "filter", "earlier join"]
    return sorted(sums.values(), key=lambda stage: order.index(stage["stage"]) if stage["stage"] in order else -1)
