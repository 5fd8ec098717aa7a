"""MMDU's files: benchmark.json with images beside it or in .zip archives, from a folder, LMUData or the Hub."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from eval_tasks.rows.hub_place import hub_folder, hub_id
from mmcr_dataset.record.paths import find_inside, is_inside

HUB = "laolao77/MMDU"
_SUFFIXES = (".jpg", ".jpeg", ".png")
_MEMBER_BYTES_MAX = 50_000_000

Read = Callable[[], bytes]


def find_mmdu(data: str | None) -> Path:
    """The file or folder of MMDU: as given, `MMDU.tsv` of LMUData, the folder `mmdu` here, or a snapshot of the Hub.

    Args:
        data: a path or a Hub id; None for the default.

    Raises:
        ValueError: it can't be loaded from the Hub.
    """
    if data is None:
        place = os.environ.get("LMUData")  # noqa: SIM112  (VLMEvalKit's spelling)
        for path in (Path(place) / "MMDU.tsv" if place else None, Path("mmdu")):
            if path is not None and path.exists():
                return path
    found = hub_id(data or HUB)
    if found is None:
        return Path(data or HUB)
    patterns = ["benchmark.json", "*.tsv", "*.zip", *(f"*{suffix}" for suffix in _SUFFIXES)]
    return hub_folder(*found, "FOLDER with benchmark.json and its images", patterns)


def images_of_folder(folder: Path) -> dict[str, Read]:
    """File name -> how to read it, of all images in a folder and in the archives that lie in it.

    Raises:
        ValueError: an archive can't be read.
    """
    found: dict[str, Read] = {}
    for path in sorted(folder.rglob("*.zip")):
        if is_inside(path, folder):
            found |= _images_of_archive(path)
    for path in folder.rglob("*"):
        if path.suffix.lower() in _SUFFIXES and is_inside(path, folder):
            found[path.name] = path.read_bytes
    return found


def _images_of_archive(path: Path) -> Mapping[str, Read]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info for info in archive.infolist() if info.filename.lower().endswith(_SUFFIXES)]
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not an archive that can be read ({error})") from error

    def reader(name: str, size: int) -> Read:
        def read() -> bytes:
            if size > _MEMBER_BYTES_MAX:
                raise ValueError(f"{path}: {name} unpacks to {size:,} bytes, at most {_MEMBER_BYTES_MAX:,} are read")
            try:
                with zipfile.ZipFile(path) as archive, archive.open(name) as file:
                    return file.read(_MEMBER_BYTES_MAX)
            except (OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
                raise ValueError(f"{path}: {name} can't be unpacked ({error})") from error

        return read

    return {
        Path(one.filename).name: reader(one.filename, one.file_size)
        for one in names
        if not Path(one.filename).name.startswith("._")
    }


def read_image(folder: Path, name: str, images: Mapping[str, Read]) -> bytes | None:
    """An image by its path in the folder, else by its file name; None if there is none."""
    path = find_inside(folder, name)
    if path is not None:
        return path.read_bytes()
    read = images.get(Path(name).name)
    return None if read is None else read()
