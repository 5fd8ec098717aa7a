from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mmcr_bench.__main__ import main
from mmcr_bench.exact import public
from mmcr_bench.exact.build import build_exact
from mmcr_bench.exact.public import Checksums, build_public, checksums_of, published
from mmcr_bench.exact.settings import ExactSettings

SMALL = ExactSettings(num_dialogues=3, style="plain", domains=("shapes",), sides=(2,), seed=5)


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checksums:
    """The checksums of a small set, which stands for the public one."""
    build_exact(tmp_path / "first" / "set", SMALL)
    found = checksums_of(tmp_path / "first" / "set")
    monkeypatch.setattr(public, "PUBLIC", SMALL)
    monkeypatch.setattr(public, "published", lambda: found)
    return found


def test_set_with_the_published_checksums_is_the_public_one(
    expected: Checksums, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert build_public(tmp_path / "set").endswith("; the public set")
    assert not caplog.records


@pytest.mark.parametrize("name", ["programs", "words"])
def test_set_that_comes_out_otherwise_is_refused(expected: Checksums, tmp_path: Path, name: str) -> None:
    expected[name] = "0" * 64  # type: ignore[literal-required]
    with pytest.raises(ValueError, match=f"{name} are not those of the public set"):
        build_public(tmp_path / "set")


def test_other_pixels_are_said_with_both_versions(
    expected: Checksums, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected["images"], expected["pillow"] = "0" * 64, "1.1"
    with caplog.at_level(logging.WARNING):
        build_public(tmp_path / "set")
    assert "those published with 1.1: some pixels differ" in caplog.text


def test_public_takes_no_other_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["exact", "build", "--public", "--seed", "3", "--output_dir", str(tmp_path / "set")]
    assert main(words) != 0
    assert (
        "--public: the public set has fixed settings; give no other flag than --output_dir" in capsys.readouterr().err
    )


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_this_version_builds_the_public_set(tmp_path: Path) -> None:
    assert published()["programs"] != published()["words"]
    assert build_public(tmp_path / "set").endswith("; the public set")
