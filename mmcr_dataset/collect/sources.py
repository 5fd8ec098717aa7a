"""What `--source` names: [KIND:]PLACE, with a path or `hub:ORG/NAME[@REVISION][:GLOB]` as place, or `demo`."""

from __future__ import annotations

from pathlib import Path

from mmcr_dataset.collect import mmc4, tar_shards
from mmcr_dataset.collect.document import DocumentSource
from mmcr_dataset.collect.local_folder import LocalFolderSource
from mmcr_dataset.collect.locations import list_files
from mmcr_dataset.collect.mmc4 import Mmc4Source
from mmcr_dataset.collect.parquet_rows import ParquetSource
from mmcr_dataset.collect.shipped_photos import ShippedPhotosSource
from mmcr_dataset.collect.tar_shards import TarShardsSource

KINDS = ("omnicorpus", "obelics", "mmc4", "webdataset", "folder")
PARQUET = (".parquet",)


def open_source(spec: str, licence: str | None = None) -> DocumentSource:
    """The documents that a `--source` names; without a kind the files (and of Parquet the columns) tell it.

    Raises:
        ValueError: there is nothing of the kind, or it has another form.
    """
    if spec == "demo":
        return ShippedPhotosSource()
    kind, colon, place = spec.partition(":")
    if not colon or kind not in KINDS or (Path(spec).exists() and not Path(place).exists()):
        kind, place = "", spec
    if not place.startswith("hub:") and not Path(place).exists():
        raise ValueError(
            f"--source {spec}: no such file or folder; expected demo, a path or hub:ORG/NAME, "
            f"with one of {', '.join(f'{name}:' for name in KINDS)} before it where the files don't tell"
        )
    kind = kind or _kind_of(place)
    if kind == "folder":
        return LocalFolderSource(Path(place), licence)
    if kind == "webdataset":
        return TarShardsSource(list_files(place, tar_shards.ENDINGS), licence)
    if kind == "mmc4":
        files = list_files(place, (*mmc4.ENDINGS, *PARQUET))
        if all(file.name.endswith(PARQUET) for file in files):
            return ParquetSource(spec, files, "mmc4", licence)
        return Mmc4Source([file for file in files if not file.name.endswith(PARQUET)], licence)
    return ParquetSource(spec, list_files(place, PARQUET), None if kind == "parquet" else kind, licence)


def _kind_of(place: str) -> str:
    """The kind that the endings of the files tell."""
    if place.startswith("hub:"):
        names = [file.name for file in list_files(place, (*PARQUET, *mmc4.ENDINGS, *tar_shards.ENDINGS))]
    else:
        path = Path(place)
        names = [path.name] if path.is_file() else [file.name for file in path.rglob("*")]
    lines = mmc4.ENDINGS[:2]  # a .zip may hold anything
    for kind, endings in (("parquet", PARQUET), ("mmc4", lines), ("webdataset", tar_shards.ENDINGS)):
        if any(name.endswith(endings) for name in names):
            return kind
    return "folder"
