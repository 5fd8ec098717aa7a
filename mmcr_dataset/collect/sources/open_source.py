"""Open a `--source`: `demo`, or [KIND:]PLACE with a path or `hub:ORG/NAME[@REVISION][:GLOB]` as place."""

from __future__ import annotations

from pathlib import Path

from mmcr_dataset.collect.document import DocumentSource
from mmcr_dataset.collect.sources import mmc4, tar_shards, wiki_dump
from mmcr_dataset.collect.sources.column_map import ColumnMap
from mmcr_dataset.collect.sources.local_folder import LocalFolderSource
from mmcr_dataset.collect.sources.locations import list_files
from mmcr_dataset.collect.sources.mmc4 import JsonLinesFile
from mmcr_dataset.collect.sources.parquet_rows import ParquetSource, RowForm
from mmcr_dataset.collect.sources.shipped_photos import ShippedPhotosSource
from mmcr_dataset.collect.sources.tar_shards import open_tar_shards
from mmcr_dataset.collect.sources.whole_files import WholeFilesSource
from mmcr_dataset.collect.sources.wiki_folder import WikiSource

KINDS = ("omnicorpus", "obelics", "mmc4", "webdataset", "folder", "wiki", "wit")
_ENDINGS = {
    **dict.fromkeys(("parquet", "omnicorpus", "obelics", "wit"), (".parquet",)),
    "lines": (".jsonl", ".jsonl.gz"),  # not .zip, which may contain anything: it needs the prefix mmc4:
    "mmc4": (*mmc4.ENDINGS, ".parquet"),
    "webdataset": tar_shards.ENDINGS,
}


def open_source(
    spec: str, licence: str | None = None, columns: str | None = None, by_image: bool = False
) -> DocumentSource:
    """Open a source; without a kind it is detected from the file names and Parquet columns.

    Args:
        spec: value of `--source`.
        licence: licence of documents that have none.
        columns: value of `--columns`: the columns of Parquet rows of any other form.
        by_image: a wiki as one document for each image, so that each keeps its own licence and author.

    Raises:
        ValueError: there is no such source, or it has another format.
    """
    if columns is not None:
        return _open_columns(spec, ColumnMap.read(columns), columns, licence)
    if spec == "demo":
        return ShippedPhotosSource()
    kind, colon, place = spec.partition(":")
    if not colon or kind not in KINDS or (Path(spec).exists() and not Path(place).exists()):
        kind, place = "", spec
    if not place.startswith("hub:") and not Path(place).exists():
        raise ValueError(
            f"--source {spec}: no such file or folder; expected demo, a path or hub:ORG/NAME, "
            f"with one of {', '.join(f'{name}:' for name in KINDS)} as prefix if the format can't be detected"
        )
    kind = kind or _kind_of(place)
    if kind == "wiki":
        return WikiSource(Path(place), licence, by_image)
    if kind == "folder":
        return LocalFolderSource(Path(place), licence)
    files = list_files(place, _ENDINGS[kind])
    if kind == "webdataset":
        return open_tar_shards(files, licence)
    lines = [file for file in files if not file.name.endswith(".parquet")]
    if kind == "mmc4" and lines:
        return WholeFilesSource(lines, JsonLinesFile, licence)
    return ParquetSource(spec, files, None if kind == "parquet" else kind, licence)


def _open_columns(spec: str, by: ColumnMap, text: str, licence: str | None) -> DocumentSource:
    if not spec.startswith("hub:") and not Path(spec).exists():
        raise ValueError(f"--source {spec}: --columns goes with Parquet files, on disk or as hub:ORG/NAME")
    form = RowForm(f"columns {text}", by.columns, (), by.to_document)
    return ParquetSource(spec, list_files(spec, (".parquet",)), form, licence)


def _kind_of(place: str) -> str:
    """Detect the kind from the suffixes of the files."""
    kinds = ("parquet", "lines", "webdataset")
    if place.startswith("hub:"):
        names = [file.name for file in list_files(place, [ending for kind in kinds for ending in _ENDINGS[kind]])]
    else:
        path = Path(place)
        names = [path.name] if path.is_file() else [file.name for file in path.rglob("*")]
    if not place.startswith("hub:") and any(name.endswith(wiki_dump.ENDINGS) for name in names):
        return "wiki"
    for kind in kinds:
        if any(name.endswith(_ENDINGS[kind]) for name in names):
            return "mmc4" if kind == "lines" else kind
    return "folder"
