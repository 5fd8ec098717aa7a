"""The folder of a bench: shards, card, Croissant metadata, a checksum of each item. Written atomically."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmcr_bench.card import ABOUT, SPLIT, write_card
from mmcr_bench.mmdu_files import find_changed_files, write_mmdu_files
from mmcr_bench.select.candidates import read_ids
from mmcr_bench.select.draw import KINDS
from mmcr_dataset.publish.croissant import CROISSANT_NAME, Description, to_croissant
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, to_json
from mmcr_dataset.record.load import read_shards
from mmcr_dataset.record.recipe import RecipeName
from mmcr_dataset.record.row import from_row

CHECKSUMS_NAME = "checksums.json"


def item_sha256(dialogue: Dialogue) -> str:
    """Checksum of an item: all its columns, images by their own hashes."""
    return hashlib.sha256(json.dumps(to_json(dialogue), sort_keys=True).encode()).hexdigest()


def write_bench_folder(
    dialogues: Sequence[Dialogue],
    out: Path,
    report_name: str,
    report: Mapping[str, object],
    notes: Sequence[str] = (),
    version: str | None = None,
    recipe: RecipeName = "mmcr",
) -> None:
    """Write a bench atomically: an existing bench in `out` is replaced only once the new one is complete.

    Args:
        dialogues: the items.
        out: the folder.
        report_name: name of the JSON file that records how it was made.
        report: content of that file.
        notes: additional lines of the card.
        version: version of a frozen bench; None for a draft.
        recipe: mmdu writes MMDU's own files too (benchmark.json, mmdu_pics/, MMDU.tsv).
    """
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    write_dataset(dialogues, unfinished, split=SPLIT)
    for kind in KINDS:
        if (unfinished / kind).is_dir() and not read_ids(unfinished / kind):
            shutil.rmtree(unfinished / kind)
    write_card(unfinished, dialogues, notes, recipe)
    if recipe == "mmdu":
        write_mmdu_files(unfinished, dialogues)
    _write_json(unfinished / report_name, report)
    _write_json(unfinished / CHECKSUMS_NAME, {dialogue.id: item_sha256(dialogue) for dialogue in dialogues})
    croissant = to_croissant(unfinished, _describe(dialogues, version or "0.0.0", recipe))
    _write_json(unfinished / CROISSANT_NAME, croissant)
    if out.exists():
        shutil.rmtree(out)
    unfinished.rename(out)


def _write_json(path: Path, value: Mapping[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=path.name == CHECKSUMS_NAME) + "\n", encoding="utf-8")


def find_changes(folder: Path) -> list[str]:
    """Ids of items that differ from their checksum, are missing, or are new; else MMDU's files that differ from them.

    Raises:
        ValueError: the folder has no checksum file.
    """
    path = folder / CHECKSUMS_NAME
    if not path.is_file():
        raise ValueError(f"{folder}: no {CHECKSUMS_NAME}; only a folder written by `build` or `freeze` can be checked")
    expected: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    dialogues = [dialogue for _, table in read_shards(folder) for dialogue in map(from_row, table.to_pylist())]
    found = {dialogue.id: item_sha256(dialogue) for dialogue in dialogues}
    changed = sorted(id_ for id_ in expected.keys() | found.keys() if expected.get(id_) != found.get(id_))
    return changed or find_changed_files(folder, dialogues)


_RAI = {
    "dataCollection": "Drawn per topic from dialogues that a chat model wrote about images of web pages.",
    "dataAnnotationProtocol": "Experts flag items by five criteria; flagged ones are regenerated or replaced.",
    "dataLimitations": "References are a chat model's; scores depend on the judge and are comparable only between runs "
    "of the same judge.",
    "dataUseCases": "Measuring contextual reasoning over turns and images; not for training.",
    "personalSensitiveInformation": "Images of the open web may show people.",
}


def _describe(dialogues: Sequence[Dialogue], version: str, recipe: RecipeName) -> Description:
    licences = sorted({dialogue.source.licence for dialogue in dialogues if dialogue.source.licence})
    text = f"{ABOUT[recipe].text} To measure contextual reasoning."
    return Description(ABOUT[recipe].name.lower().replace(" ", "-"), text, version, licences, _RAI)
