"""A name or a link that a stranger wrote reaches no file outside of its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmcr_dataset.collect.sources.local_folder import LocalFolderSource
from mmcr_dataset.record.paths import find_inside, is_inside
from mmcr_dataset.stage.stages import Removed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "set"
    (place / "sub").mkdir(parents=True)
    (tmp_path / "private.png").write_bytes(b"secret")
    (place / "a.png").write_bytes(b"a")
    (place / "sub" / "b.png").write_bytes(b"b")
    return place


def test_files_inside_are_found(folder: Path) -> None:
    (folder / "link.png").symlink_to("sub/b.png")
    for name in ("a.png", "sub/b.png", "./a.png", "link.png"):
        assert find_inside(folder, name) == folder / name


def test_nothing_outside_is_reached(folder: Path) -> None:
    (folder / "link.png").symlink_to("../private.png")
    (folder / "up").symlink_to("..")
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.png")
    outside = str(folder.parent / "private.png")
    names = ["../private.png", outside, "link.png", "up/private.png", "sub/../../private.png", "..\\private.png"]
    names += [
        "loop.png",
        "pipe.png",
        "C:\\private.png",
        "NUL",
        "con.png",
        "/dev/zero",
        "~/x",
        "a\0.png",
        "",
        ".",
        "sub",
    ]
    assert [name for name in names if find_inside(folder, name)] == []


def test_link_of_a_hub_snapshot_is_inside(tmp_path: Path) -> None:
    snapshot = tmp_path / "datasets--a--b" / "snapshots" / "0f"
    blobs = tmp_path / "datasets--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "1").write_bytes(b"x")
    (snapshot / "a.png").symlink_to("../../blobs/1")
    assert is_inside(snapshot / "a.png", snapshot)


def test_folder_source_names_links_that_lead_out(folder: Path) -> None:
    (folder.parent / "words.txt").write_text("private words")
    (folder / "link.png").symlink_to("../private.png")
    (folder / "a.txt").symlink_to("../words.txt")
    found = list(LocalFolderSource(folder))
    assert {one.id: one.reason for one in found if isinstance(one, Removed)} == {
        "a.txt": "outside_the_folder",
        "link.png": "outside_the_folder",
    }
    assert "private words" not in str([one for one in found if not isinstance(one, Removed)])
