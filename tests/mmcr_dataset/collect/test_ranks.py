"""Collect on the ranks of an engine: the bytes of a plain run with any quota, kill, retry, source and number of ranks.

The ranks run in this process, one after the other; `tests/mmcr_dataset/stage/test_engine.py` has processes.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmcr_dataset.build_settings import BuildSettings
from mmcr_dataset.collect import ranks, shards, visits
from mmcr_dataset.collect.sources.locations import SourceFile
from mmcr_dataset.collect.sources.open_source import open_source
from mmcr_dataset.collect.web.fetch_settings import FetchSettings
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.mmdu.entries import images_apart
from mmcr_dataset.pipeline import collect
from mmcr_dataset.stage import shard_job
from mmcr_dataset.stage.engine import EngineSettings, Job
from mmcr_dataset.stage.stages import StageCount
from tests.conftest import image_bytes
from tests.local_web import LocalWeb, Page
from tests.mmcr_dataset.test_pipeline import contents

ENGLISH = "This is the old lighthouse on the small island in the sea, and the harbour is behind it."
GERMAN = "Der alte Leuchtturm steht seit mehr als hundert Jahren auf der Insel und zeigt den Schiffen den Weg."
SIZES = (14, 9, 0, 16, 8, 12, 11)  # of the parts; in the fifth no row passes the filters
LOCAL = FetchSettings(opt_outs="headers", allow_loopback=True, max_attempts=1, backoff_s=0.01)


class Killed(BaseException):
    """What a test ends a run with."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "DOCUMENTS_A_SHARD", 10)
    monkeypatch.setattr(visits, "DOCUMENTS_A_PIECE", 6)
    monkeypatch.setattr(ranks, "DOCUMENTS_A_PIECE", 6)


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ranks run here, one after the other; the number of parts of each job."""
    sizes: list[int] = []

    def launch(job: Job, engine: EngineSettings) -> bool:
        run_rank = pickle.loads(pickle.dumps(job.run_rank))
        sizes.append(0)
        for rank in range(engine.num_ranks):
            sizes[-1] += len(list(shard_job.read_numbers(*run_rank.args[1:2], rank, engine.num_ranks)))
            run_rank(rank)
        return engine.name != "slurm"

    monkeypatch.setattr(shard_job, "launch", launch)
    return sizes


@cache
def an_image(number: int) -> bytes:
    return image_bytes(number, (32, 32))


def names_of(part: int) -> list[tuple[str, int, str]]:
    """Id, number of images (a third have two, one of each part none) and text of the rows of a part."""
    return [
        (f"p{part}-r{row}", 0 if row == 3 else 1 + (row % 3 == 2), GERMAN if part == 4 or row == 5 else ENGLISH)
        for row in range(SIZES[part])
    ]


def write_parquet(folder: Path) -> None:
    """Two files of row groups; images are in the cells."""
    for file, parts in (("a.parquet", range(4)), ("b.parquet", range(4, len(SIZES)))):
        schema = pa.schema({"id": pa.string(), "text": pa.string(), "image": pa.list_(pa.binary())})
        with pq.ParquetWriter(folder / file, schema) as writer:
            for part in parts:
                rows = [
                    {"id": name, "text": text, "image": [an_image(100 * part + 7 * row + n) for n in range(num)]}
                    for row, (name, num, text) in enumerate(names_of(part))
                ]
                writer.write_table(pa.Table.from_pylist(rows, schema))


def write_tar(folder: Path) -> None:
    """An archive for each part; in each a row whose description is not JSON."""
    for part in range(len(SIZES)):
        with tarfile.open(folder / f"{part}.tar", "w") as archive:
            for row, (name, num, text) in enumerate(names_of(part)):
                files = {f"{n}.png": an_image(100 * part + 7 * row + n) for n in range(num)}
                for suffix, data in (files | {"txt": text.encode(), "json": b"[" if row == 7 else b"{}"}).items():
                    member = tarfile.TarInfo(f"{name}.{suffix}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))


def write_folder(folder: Path) -> None:
    """A source of one part."""
    for number in range(25):
        (folder / f"{number:02d}.png").write_bytes(an_image(number))
        (folder / f"{number:02d}.txt").write_text(GERMAN if number % 5 == 4 else ENGLISH)


SOURCES: dict[str, Callable[[Path], None]] = {"parquet": write_parquet, "tar": write_tar, "folder": write_folder}


def settings_of(tmp_path: Path, form: str, **more: Any) -> BuildSettings:
    folder = tmp_path / "source"
    if not folder.exists():
        folder.mkdir()
        SOURCES[form](folder)
    columns = "text=text,image=image,id=id" if form == "parquet" else None
    fixed: dict[str, Any] = {"writer": WriterSettings("offline"), "matcher": "none", "columns": columns}
    return BuildSettings(str(folder), tmp_path / "set", **fixed | more)


def run(
    settings: BuildSettings,
    name: str = "local",
    num_ranks: int = 3,
    is_mmdu: bool = False,
    out: Path | None = None,
) -> StageCount | None:
    """Collect into a folder of its own."""
    engine = EngineSettings(name=name, num_ranks=num_ranks, partition="cpu" if name == "slurm" else None)
    source = open_source(settings.source, columns=settings.columns)
    settings = replace(settings, out=out or settings.out.with_name(name), engine=engine)
    return collect(settings, images_apart(source) if is_mmdu else source, settings.work if is_mmdu else None)


def results(out: Path) -> dict[str, bytes]:
    work = out.with_name(f"{out.name}.work")
    assert not (work / "1_fetched").exists()
    return contents(work / "1_candidates") | contents(work / "1_removed")


def assert_same(tmp_path: Path, name: str = "datatrove-local") -> None:
    assert results(tmp_path / name) == results(tmp_path / "local")


QUOTAS = [(None, None), (17, 9), (30, None), (None, 4), (1, 0), (0, 0), (1000, 5), (1000, 1000)]


@pytest.mark.parametrize("quota", QUOTAS)
@pytest.mark.parametrize("form", SOURCES)
def test_same_bytes_as_a_plain_run_with_any_quota(
    form: str, quota: tuple[int | None, int | None], tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, form, num_single=quota[0], num_multi=quota[1])
    assert run(settings) == run(settings, "datatrove-local")
    assert_same(tmp_path)


@pytest.mark.parametrize("num_ranks", [1, 7, 8, 40])
def test_same_bytes_with_more_ranks_than_parts_or_one(num_ranks: int, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "tar", num_single=20)
    assert run(settings) == run(settings, "datatrove-local", num_ranks)
    assert_same(tmp_path)


def test_same_bytes_with_one_document_for_each_image(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "parquet", num_single=40)
    assert run(settings, is_mmdu=True) == run(settings, "datatrove-local", is_mmdu=True)
    assert_same(tmp_path)


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Every file is written by a rename: kills the run at the n-th one from now on."""
    rename, left = Path.replace, [inf]

    def rename_or_die(path: Path, to: Path) -> Path:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return rename(path, to)

    def set_kill(number: float) -> None:
        left[0] = number

    monkeypatch.setattr(Path, "replace", rename_or_die)
    return set_kill


@pytest.mark.parametrize(("single", "multi"), [(None, None), (17, 9), (30, None)])
@pytest.mark.parametrize("form", ["tar", "folder"])
def test_killed_again_and_again_it_ends_with_the_same_bytes(
    form: str, single: int | None, multi: int | None, tmp_path: Path, kill_at: Callable[[float], None]
) -> None:
    settings = settings_of(tmp_path, form, num_single=single, num_multi=multi)
    run(settings)
    num_kills = 0
    while True:
        kill_at(5 + 2 * num_kills)
        try:
            run(settings, "datatrove-local", num_ranks=2 + num_kills % 3)
            break
        except Killed:
            num_kills += 1
    assert num_kills > 3
    assert_same(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("single", "multi"), [(None, None), (17, 9), (30, None)])
@pytest.mark.parametrize("form", SOURCES)
@pytest.mark.parametrize("next_name", ["datatrove-local", "local"])
def test_killed_at_each_moment_it_ends_with_the_same_bytes(
    form: str, single: int | None, multi: int | None, next_name: str, tmp_path: Path, kill_at: Callable[[float], None]
) -> None:
    """On ranks or in one process, and the other way round."""
    settings = settings_of(tmp_path, form, num_single=single, num_multi=multi)
    run(settings)
    first_name = "datatrove-local"
    for moment in count(1):
        out = tmp_path / f"{moment}"
        kill_at(moment)
        try:
            run(settings, first_name, out=out)
            break
        except Killed:
            kill_at(inf)
            run(settings, next_name, out=out)
            assert results(out) == results(tmp_path / "local"), moment
    assert moment > 10
