"""Croissant 1.1 metadata of the shards in a folder, with the fields of its Responsible AI (RAI) extension.

Source: the Croissant format and RAI vocabularies of MLCommons (docs.mlcommons.org/croissant).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CROISSANT_NAME = "croissant.json"

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
# Scalar columns; nested ones (messages, images, ...) are documented on the card, Croissant has no type for them.
_FIELDS = {
    "id": "sc:Text",
    "num_turns": "sc:Integer",
    "num_images": "sc:Integer",
    "domain": "sc:Text",
    "topic": "sc:Text",
}


@dataclass(frozen=True, slots=True)
class Description:
    """Metadata of a data set.

    Attributes:
        name: name of the data set.
        text: description in a sentence or two.
        version: semantic version.
        licences: licenses of the sources.
        rai: fields of the RAI vocabulary without their prefix, such as dataCollection or dataBiases.
    """

    name: str
    text: str
    version: str = "0.0.0"
    licences: Sequence[str] = ()
    rai: Mapping[str, str | Sequence[str]] = field(default_factory=dict)


def to_croissant(folder: Path, description: Description) -> dict[str, Any]:
    """The JSON-LD document: every shard with its checksum, one record set for each folder of shards."""
    shards = sorted(folder.rglob("*.parquet"))
    kinds = sorted({path.parent.relative_to(folder).as_posix() for path in shards})
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": description.name,
        "description": description.text,
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "version": description.version,
        "url": "https://arxiv.org/abs/2503.18533",
        "citeAs": "MMCR: Advancing Visual Language Model in Multimodal Multi-Turn Contextual Reasoning, 2025",
        "license": list(description.licences) or ["each image keeps the licence of its page, see the column source"],
        "isLiveDataset": False,
        "distribution": [_file(path, folder) for path in shards] + [_file_set(kind) for kind in kinds],
        "recordSet": [_record_set(kind) for kind in kinds],
    }
    return document | {f"rai:{name}": value for name, value in description.rai.items()}


def file_sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_checksums(path: Path) -> dict[str, str]:
    """SHA-256 of each file by its `contentUrl` in a Croissant document.

    Raises:
        ValueError: the file is not a Croissant document.
    """
    try:
        files = json.loads(path.read_text("utf-8"))["distribution"]
        return {file["contentUrl"]: file["sha256"] for file in files if file["@type"] == "cr:FileObject"}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"not a Croissant document ({error!r}); build the data set again") from error


def _file(path: Path, folder: Path) -> dict[str, Any]:
    name = path.relative_to(folder).as_posix()
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": file_sha256(path),
    }


def _file_set(kind: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{kind}-shards",
        "name": f"{kind}-shards",
        "encodingFormat": "application/x-parquet",
        "includes": f"{kind}/*.parquet",
    }


def _record_set(kind: str) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": kind,
        "name": kind,
        "key": {"@id": f"{kind}/id"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{kind}/{column}",
                "name": f"{kind}/{column}",
                "dataType": data_type,
                "source": {"fileSet": {"@id": f"{kind}-shards"}, "extract": {"column": column}},
            }
            for column, data_type in _FIELDS.items()
        ],
    }
