"""Croissant 1.1 metadata of the shards in a folder, with the fields of its Responsible AI (RAI) extension.

Source: the Croissant format and RAI vocabularies of MLCommons (docs.mlcommons.org/croissant).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

CROISSANT_NAME = "croissant.json"

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
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
    "isArray": "cr:isArray",
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
# Source: HF_TO_CROISSANT_VALUE_TYPE and feature_to_croissant_field in huggingface/dataset-viewer,
# libs/libcommon/src/libcommon/croissant_utils.py.
_TYPES = {
    "bool": "sc:Boolean",
    "float32": "cr:Float32",
    "float64": "cr:Float64",
    "int8": "cr:Int8",
    "int16": "cr:Int16",
    "int32": "cr:Int32",
    "int64": "cr:Int64",
    "string": "sc:Text",
}
_SPLIT = re.compile(r"([^-]+)-")  # of the name of a shard


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
    of_kind: dict[str, list[Path]] = {}
    for path in shards:
        of_kind.setdefault(path.parent.relative_to(folder).as_posix(), []).append(path)
    kinds = sorted(of_kind)
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
        "recordSet": [one for kind in kinds for one in _record_sets(kind, of_kind[kind])],
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


def _record_sets(kind: str, shards: Sequence[Path]) -> list[dict[str, Any]]:
    """The splits of a folder of shards, and its rows, in the form of the Hub's viewer."""
    from datasets import Features

    splits = sorted({found[1] for path in shards if (found := _SPLIT.match(path.name))})
    names = f"{kind}_splits/split_name"
    split_set = {
        "@type": "cr:RecordSet",
        "@id": f"{kind}_splits",
        "name": f"{kind}_splits",
        "description": f"Splits of {kind}.",
        "dataType": "cr:Split",
        "key": {"@id": names},
        "field": [{"@type": "cr:Field", "@id": names, "dataType": "sc:Text"}],
        "data": [{names: split} for split in splits],
    }
    split_field = {
        "@type": "cr:Field",
        "@id": f"{kind}/split",
        "dataType": "sc:Text",
        "source": {
            "fileSet": {"@id": f"{kind}-shards"},
            "extract": {"fileProperty": "fullpath"},
            "transform": {"regex": f"{re.escape(kind)}/({'|'.join(map(re.escape, splits))})-.+parquet$"},
        },
        "references": {"field": {"@id": names}},
    }
    features = Features.from_arrow_schema(pq.read_schema(shards[0]))
    skipped = [column for column, feature in features.items() if _is_too_deep(feature)]
    fields = [_field(f"{kind}/{c}", kind, c, feature, None) for c, feature in features.items() if c not in skipped]
    text = f"Rows of {kind}." + (f" Skipped columns, lists in a list's items: {', '.join(skipped)}." if skipped else "")
    rows = {"@type": "cr:RecordSet", "@id": kind, "name": kind, "description": text}
    return [split_set, rows | {"key": {"@id": f"{kind}/id"}, "field": [split_field, *fields]}]


def _is_too_deep(feature: Any) -> bool:  # noqa: ANN401
    """True for a list of structs that hold lists: mlcroissant 1.1 fails for the whole row (`messages`)."""
    from datasets import List

    item = feature.feature if isinstance(feature, List) else None
    return isinstance(item, dict) and any(isinstance(part, (List, dict)) for part in item.values())


def _field(name: str, kind: str, column: str, feature: Any, path: list[str] | None) -> dict[str, Any]:  # noqa: ANN401
    """A column, or a part of one, as a field: lists are arrays, structs have sub-fields, images are decoded.

    Args:
        name: id of the field.
        kind: folder of the shards.
        column: name of the column.
        feature: of `datasets`.
        path: keys that lead to a part of a column, None for the column itself.
    """
    from datasets import Image, List

    field: dict[str, Any] = {"@type": "cr:Field", "@id": name}
    if isinstance(feature, List):
        shape = [feature.length]
        while isinstance(feature.feature, List):
            feature = feature.feature
            shape.append(feature.length)
        of_item = _field(name, kind, column, feature.feature, path)
        of_item |= {"isArray": True, "arrayShape": ",".join(map(str, shape))}
        return of_item | ({"repeated": True} if isinstance(feature.feature, Image) else {})  # mlcroissant asks for it
    if isinstance(feature, dict):
        parts = feature.items()
        return field | {"subField": [_field(f"{name}/{k}", kind, column, f, [*(path or ()), k]) for k, f in parts]}
    keys = [*(path or ()), *(["bytes"] if isinstance(feature, Image) else [])]
    source: dict[str, Any] = {"fileSet": {"@id": f"{kind}-shards"}, "extract": {"column": column}}
    if keys:
        transforms = [{"jsonPath": key} for key in keys]
        source["transform"] = transforms if len(transforms) > 1 else transforms[0]
    return field | {
        "dataType": "sc:ImageObject" if isinstance(feature, Image) else _TYPES[feature.dtype],
        "source": source,
    }
