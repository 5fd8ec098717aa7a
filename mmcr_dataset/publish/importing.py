"""Convert an existing conversation set to a data set folder, without filtering."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from mmcr_dataset.collect.sources.conversations import read_records, size_of_images, to_dialogues
from mmcr_dataset.publish.card import refresh_card
from mmcr_dataset.publish.data_folder import begin_folder, check_replaceable, replace_folder
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.stage.stages import REMOVED, Removed, StageCount, write_jsonl, write_text
from mmcr_dataset.stage.takedowns import Takedowns, load_takedowns


def import_conversations(file: Path, images: Path, out: Path, licence: str | None = None) -> StageCount:
    """Write the conversations of a file as a data set folder; rejected records go to OUT.work with their reason.

    Args:
        file: JSON or JSON Lines, see collect/sources/conversations.py.
        images: folder that image paths are relative to.
        out: the data set folder; must not exist.
        licence: license of images and texts.

    Raises:
        ValueError: the file is unreadable, OUT exists, or no record is a dialogue.
    """
    if out.exists():
        raise ValueError(f"--output_dir {out}: is there already; name a new folder or delete it")
    check_replaceable(out, "import")
    if not images.is_dir():
        raise ValueError(f"--images {images}: no such folder; expected the folder that image paths are relative to")
    records = read_records(file)
    if not records:
        raise ValueError(f"{file}: holds no record; expected conversations as JSON or JSON Lines")
    removed: list[Removed] = []
    unfinished = begin_folder(out)
    taken_out = load_takedowns(out)
    results = (_without(taken_out, result) for result in to_dialogues(records, images, licence))
    kept = _keep(tqdm(results, "import", len(records), unit=" record", disable=None, file=sys.stderr), removed)
    num_rows = sum(write_dataset(kept, unfinished, size_of_images(records, images)).values())
    reasons = Counter(row.reason for row in removed)
    count = StageCount("import", len(records), num_rows, dict(reasons.most_common()))
    for reason in reasons:
        rows = [asdict(row) for row in removed if row.reason == reason]
        write_jsonl(out.with_name(out.name + ".work") / REMOVED["collect"] / f"{reason}.jsonl", rows)
    if num_rows == 0:
        raise ValueError(
            f"{file}: none of {len(records)} records is a dialogue; the reasons are in {out}.work/{REMOVED['collect']}"
        )
    write_text(unfinished / "funnel.json", json.dumps([asdict(count)], indent=1) + "\n")
    refresh_card(unfinished, out.name)
    replace_folder(unfinished, out, "import")
    return count


def _without(taken_out: Takedowns, result: Dialogue | Removed) -> Dialogue | Removed:
    """The result; in its place a removed row if it was taken out of the set before."""
    why = None if isinstance(result, Removed) else taken_out.reason_of(result)
    return result if why is None else Removed(result.id, *why)


def _keep(results: Iterable[Dialogue | Removed], removed: list[Removed]) -> Iterator[Dialogue]:
    for result in results:
        if isinstance(result, Removed):
            removed.append(result)
        else:
            yield result
