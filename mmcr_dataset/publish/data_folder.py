"""The data set folder: what a program of ours wrote there, and its replacement by a new one.

A marker names the files that we wrote. Only they are ever replaced or deleted: everything else in the folder (a
`.git`, a licence, notes) stays, and a folder without the marker is refused.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mmcr_dataset.stage.stages import write_text
from mmcr_dataset.stage.takedowns import LOG_NAME

MARKER_NAME = ".mmcr_dataset.json"
_OURS = ("README.md", "croissant.json", "statistics.json", "funnel.json", LOG_NAME, MARKER_NAME)
_OF_VERSION_0_1 = ("README.md", "statistics.json", "funnel.json")  # sets of that version have no marker


def check_replaceable(out: Path, made_by: str) -> None:
    """Check that a folder may be replaced: absent, empty, or a data set of the same program.

    Raises:
        ValueError: it is something else; nothing was changed.
    """
    _recover(_real(out))
    if not out.exists() or not any(out.iterdir()):
        return
    found = _read_marker(out)
    if found is None:
        names = sorted(path.name for path in out.iterdir())
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise ValueError(
            f"--output_dir {out}: holds files that are no data set of this program ({shown}); name a new folder, "
            "nothing was changed"
        )
    if found[0] != made_by:
        raise ValueError(
            f"--output_dir {out}: holds a data set made by `{found[0]}`, which `{made_by}` would replace; name a new "
            "folder, or delete it"
        )


def begin_folder(out: Path) -> Path:
    """An empty folder beside `out` to write the new data set to."""
    unfinished = _beside(_real(out), "new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    return unfinished


def replace_folder(unfinished: Path, out: Path, made_by: str) -> None:
    """Put the folder of `begin_folder` in the place of `out`; what others have in `out` stays there.

    Raises:
        ValueError: a file of the new data set has the name of one that we didn't write.
    """
    files = sorted(path.relative_to(unfinished).as_posix() for path in unfinished.rglob("*") if path.is_file())
    marker = {"made_by": made_by, "files": sorted({*files, *_OURS})}
    out = _real(out)
    check_replaceable(out, made_by)
    former = _beside(out, "former")
    if out.exists():
        ours = _files_of(out)
        foreign = [name for name in files if name not in ours and (out / name).exists()]
        if foreign:
            raise ValueError(f"{out / foreign[0]}: not written by this program; move it and run the same command again")
        out.rename(former)
    write_text(unfinished / MARKER_NAME, json.dumps(marker, indent=1) + "\n")
    unfinished.rename(out)
    _recover(out)


def _real(out: Path) -> Path:
    return Path(os.path.realpath(out))


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f".{out.name}.mmcr-{what}")


def _recover(out: Path) -> None:
    """Complete a replacement that was interrupted: the former folder comes back, or what isn't ours of it."""
    former = _beside(out, "former")
    if not former.exists():
        return
    if not out.exists():
        former.rename(out)
        return
    _move_foreign(former, out, _files_of(former), "")
    shutil.rmtree(former)


def _move_foreign(former: Path, out: Path, ours: frozenset[str], prefix: str) -> None:
    for path in sorted((former / prefix).iterdir()):
        name = path.relative_to(former).as_posix()
        if path.is_dir() and not path.is_symlink() and any(file.startswith(f"{name}/") for file in ours):
            _move_foreign(former, out, ours, name)
        elif name not in ours:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            path.rename(out / name)


def _read_marker(folder: Path) -> tuple[str, frozenset[str]] | None:
    """Who made a data set folder, and its files; None if it is no data set of ours.

    Raises:
        ValueError: the marker is damaged.
    """
    path = folder / MARKER_NAME
    if path.is_file():
        try:
            marker = json.loads(path.read_text("utf-8"))
            return str(marker["made_by"]), frozenset(map(str, marker["files"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not the marker of a data set ({error}); name a new folder") from error
    if not all((folder / name).is_file() for name in _OF_VERSION_0_1):
        return None
    try:
        stage = json.loads((folder / "funnel.json").read_text("utf-8"))[0]["stage"]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return ("import" if stage == "import" else "build"), frozenset(_shards_of_version_0_1(folder))


def _files_of(folder: Path) -> frozenset[str]:
    found = _read_marker(folder)
    return frozenset() if found is None else found[1] | frozenset(_OURS)


def _shards_of_version_0_1(folder: Path) -> Iterator[str]:
    for name in ("single", "multi"):
        for path in (folder / name).glob("train-?????*-of-?????*.parquet"):
            yield path.relative_to(folder).as_posix()
