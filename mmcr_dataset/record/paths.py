"""The one guard for a file inside a folder: a stranger's names and links reach no other file of the machine."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {f"{p}{n}" for p in ("COM", "LPT") for n in range(1, 10)}


def is_inside(path: Path, folder: Path) -> bool:
    """True if a path is a regular file that lies in a folder after all links are followed.

    A file of a Hub snapshot is a link into its repository's `blobs`; that folder counts too.
    """
    try:
        roots, place = [folder.resolve()], path.resolve(strict=True)
        snapshots = roots[0].parent
        if snapshots.name == "snapshots":
            roots.append((snapshots.parent / "blobs").resolve())
        return place.is_file() and any(place.is_relative_to(root) for root in roots)
    except (OSError, ValueError, RuntimeError):  # no such file, a NUL character, a loop of links
        return False


def find_inside(folder: Path, name: str) -> Path | None:
    """The regular file that a name means in a folder; None if there is none, or it lies outside.

    Refused are absolute names, drives, `..`, device names, and links that lead out of the folder.
    """
    parts = PureWindowsPath(name)  # its separators are those of every system
    is_foreign = bool(parts.anchor) or name.startswith(("/", "~")) or ".." in parts.parts
    if is_foreign or any(part.split(".")[0].strip().upper() in _DEVICES for part in parts.parts):
        return None
    return folder / name if is_inside(folder / name, folder) else None
