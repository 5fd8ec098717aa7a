"""The folder of a bench: shards, card, croissant description, checksum of every item. Whole on disk or not there."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcr_bench.card import SPLIT, write_card
from mmcr_bench.select.candidates import read_ids
from mmcr_bench.select.draw import KINDS
from mmcr_dataset.publish.parquet import read_shards, write_dataset
from mmcr_dataset.published_row import from_row
from mmcr_dataset.schema import Dialogue, to_json

CHECKSUMS_NAME = "checksums.json"


def item_sha256(dialogue: Dialogue) -> str:
    """Checksum of an item: all its columns, pictures by their own hashes."""
    return hashlib.sha256(json.dumps(to_json(dialogue), sort_keys=True).encode()).hexdigest()


def write_bench_folder(
    dialogues: Sequence[Dialogue],
    out: Path,
    report_name: str,
    report: Mapping[str, object],
    notes: Sequence[str] = (),
    version: str | None = None,
) -> None:
    """Write a bench; a bench that stands in `out` is replaced only when the new one is whole.

    Args:
        dialogues: the items.
        out: the folder.
        report_name: file that keeps how it was made.
        report: what that file says.
        notes: further lines of the card.
        version: of a frozen bench.
    """
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    write_dataset(dialogues, unfinished, split=SPLIT)
    for kind in KINDS:
        if (unfinished / kind).is_dir() and not read_ids(unfinished / kind):
            shutil.rmtree(unfinished / kind)
    write_card(unfinished, dialogues, notes)
    _write_json(unfinished / report_name, report)
    _write_json(unfinished / CHECKSUMS_NAME, {dialogue.id: item_sha256(dialogue) for dialogue in dialogues})
    licences = sorted({dialogue.source.licence for dialogue in dialogues if dialogue.source.licence})
    _write_json(unfinished / "croissant.json", show_croissant(unfinished, version or "0.0.0", licences))
    if out.exists():
        shutil.rmtree(out)
    unfinished.rename(out)


def _write_json(path: Path, value: Mapping[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=path.name == CHECKSUMS_NAME) + "\n", encoding="utf-8")


def find_changes(folder: Path) -> list[str]:
    """Ids of items that differ from their checksum, are missing, or are new.

    Raises:
        ValueError: the folder has no checksums.
    """
    path = folder / CHECKSUMS_NAME
    if not path.is_file():
        raise ValueError(f"{folder}: no {CHECKSUMS_NAME}; only a folder written by `build` or `freeze` can be checked")
    expected: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    found = {
        dialogue.id: item_sha256(dialogue)
        for _, table in read_shards(folder)
        for dialogue in map(from_row, table.to_pylist())
    }
    return sorted(id_ for id_ in expected.keys() | found.keys() if expected.get(id_) != found.get(id_))


_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "recordSet": "cr:recordSet",
    "repeated": "cr:repeated",
    "source": "cr:source",
}
_FIELDS = {
    "id": "sc:Text",
    "num_turns": "sc:Integer",
    "num_images": "sc:Integer",
    "domain": "sc:Text",
    "topic": "sc:Text",
}


def show_croissant(folder: Path, version: str, licences: Sequence[str] = ()) -> dict[str, Any]:
    """A Croissant 1.0 description of the shards in a folder, with the fields of responsible AI."""
    shards = sorted(folder.rglob("*.parquet"))
    files = [
        {
            "@type": "cr:FileObject",
            "@id": path.relative_to(folder).as_posix(),
            "contentUrl": path.relative_to(folder).as_posix(),
            "encodingFormat": "application/x-parquet",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in shards
    ]
    record_sets = [
        {
            "@type": "cr:RecordSet",
            "@id": path.parent.name,
            "field": [
                {
                    "@type": "cr:Field",
                    "@id": f"{path.parent.name}/{column}",
                    "dataType": kind,
                    "source": {
                        "fileObject": {"@id": path.relative_to(folder).as_posix()},
                        "extract": {"column": column},
                    },
                }
                for column, kind in _FIELDS.items()
            ],
        }
        for path in shards
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": "mmcr-bench",
        "description": "Dialogues of several turns about one to four pictures, to measure contextual reasoning.",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "version": version,
        "url": "https://arxiv.org/abs/2503.18533",
        "citeAs": "MMCR: Advancing Visual Language Model in Multimodal Multi-Turn Contextual Reasoning, 2025",
        "license": licences or ["each picture keeps the licence of its page, see the column source"],
        "isLiveDataset": False,
        "rai:dataCollection": "Drawn per topic from dialogues that a chat model wrote about pictures of web pages.",
        "rai:dataAnnotationProtocol": "Experts flag items by five criteria; flagged ones are written anew or replaced.",
        "rai:dataLimitations": "References are a chat model's; scores depend on the judge and are comparable only "
        "between runs of the same judge.",
        "rai:personalSensitiveInformation": "Pictures of the open web may show people.",
        "distribution": files,
        "recordSet": record_sets,
    }
