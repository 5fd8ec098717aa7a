"""Collect on the ranks of an engine: the bytes of a plain run with any quota, kill, retry, source and number of ranks.

The ranks run in this process, one after the other; `tests/mmcr_dataset/stage/test_engine.py` has processes.
"""

from __future__ import annotations

import io
import os
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
from mmcr_dataset.publish.purge import purge
from mmcr_dataset.stage import shard_job
from mmcr_dataset.stage.engine import EngineSettings, Job
from mmcr_dataset.stage.stages import StageCount
from mmcr_dataset.stage.takedowns import Takedowns
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


QUOTAS = [(17, 9), (None, None), (30, None), (None, 4), (1, 0), (0, 0), (1000, 5), (1000, 1000)]


@pytest.mark.parametrize(
    ("form", "quota"),
    [("parquet", quota) for quota in QUOTAS]
    + [("tar", quota) for quota in QUOTAS[:3]]
    + [("folder", quota) for quota in QUOTAS[:3]],
)
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
@pytest.mark.parametrize(
    ("first_name", "next_name"),
    [("datatrove-local", "datatrove-local"), ("datatrove-local", "local"), ("local", "datatrove-local")],
)
def test_killed_at_each_moment_it_ends_with_the_same_bytes(
    form: str,
    single: int | None,
    multi: int | None,
    first_name: str,
    next_name: str,
    tmp_path: Path,
    kill_at: Callable[[float], None],
) -> None:
    settings = settings_of(tmp_path, form, num_single=single, num_multi=multi)
    run(settings)
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
    assert moment > 5


@pytest.fixture
def is_down() -> list[bool]:
    """Whether each seventh image of `web` answers 503; each tenth is missing for ever."""
    return [True]


@pytest.fixture
def web(is_down: list[bool]) -> Iterator[LocalWeb]:
    def page(path: str, earlier: int) -> Page:
        number = int(path[1:-4])
        if number % 10 == 1:
            return Page(status=404)
        return Page(status=503) if is_down[0] and number % 7 == 3 else Page(an_image(number))

    with LocalWeb(page) as served:
        yield served


def settings_of_web(tmp_path: Path, web: LocalWeb, **more: Any) -> BuildSettings:
    """Sixty documents in row groups of nine; each third has two images."""
    rows = [
        {
            "general_metadata": {"id": f"r{row}", "url": None},
            "images": [*(f"{web.url}/{row + 100 * n}.png" for n in range(1 + (row % 3 == 2))), None],
            "texts": [None] * (1 + (row % 3 == 2)) + [ENGLISH],
        }
        for row in range(60)
    ]
    (tmp_path / "source").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "source" / "rows.parquet", row_group_size=9)
    return settings_of(tmp_path, "omnicorpus", fetch=LOCAL, **more)


@pytest.mark.parametrize(("single", "multi"), [(None, None), (16, 6)])
def test_each_run_asks_for_the_addresses_that_a_plain_run_asks_for(
    single: int | None, multi: int | None, tmp_path: Path, web: LocalWeb, is_down: list[bool]
) -> None:
    """None beyond the quota; in the second run those that failed, in the third none."""
    settings = settings_of_web(tmp_path, web, num_single=single, num_multi=multi)
    asked: dict[str, list[Counter[str]]] = {"local": [], "datatrove-local": []}
    for name, of_runs in asked.items():
        for is_down[0] in (True, False, False):
            before = web.requests.copy()
            run(settings, name)
            of_runs.append(web.requests - before)
    assert asked["local"] == asked["datatrove-local"]
    assert [bool(asked) for asked in asked["local"]] == [True, True, False]
    assert_same(tmp_path)


def test_documents_in_shards_of_a_killed_plain_run_are_not_fetched_again(
    tmp_path: Path, web: LocalWeb, is_down: list[bool], kill_at: Callable[[float], None]
) -> None:
    """The kill is in the third row group, behind two shards of ten documents; two of these failed."""
    settings = settings_of_web(tmp_path, web)
    asked: list[set[str]] = []
    for out, name in ((tmp_path / "a", "local"), (tmp_path / "b", "datatrove-local")):
        is_down[0] = True
        kill_at(1 + 2 * 3 + 1)  # the stage, three files a shard
        with pytest.raises(Killed):
            run(settings, out=out)
        kill_at(inf)
        is_down[0] = False
        before = web.requests.copy()
        run(settings, name, out=out)
        asked.append({path for path in web.requests - before if int(path[1:-4]) % 100 < 20})
    assert asked == [{"/3.png", "/10.png"}] * 2
    assert results(tmp_path / "a") == results(tmp_path / "b")


@pytest.mark.parametrize("num_ranks", [(3, 40), (40, 3)])
def test_resumed_with_other_ranks_than_parts_it_ends_with_the_same_bytes(
    num_ranks: tuple[int, int], tmp_path: Path, kill_at: Callable[[float], None]
) -> None:
    settings = settings_of(tmp_path, "tar")
    run(settings)
    kill_at(35)
    with pytest.raises(Killed):
        run(settings, "datatrove-local", num_ranks[0])
    kill_at(inf)
    run(settings, "datatrove-local", num_ranks[1])
    assert_same(tmp_path)


def test_complete_stage_of_few_parts_is_not_read_again(tmp_path: Path, jobs: list[int]) -> None:
    settings = settings_of(tmp_path, "tar")
    first = run(settings, "datatrove-local", num_ranks=40)
    num_jobs = len(jobs)
    for path in (tmp_path / "source").iterdir():
        stat = path.stat()
        path.write_bytes(b"x" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert run(settings, "datatrove-local", num_ranks=40) == first
    assert run(settings, "datatrove-local", num_ranks=3) == first
    assert len(jobs) == num_jobs


@pytest.mark.parametrize("name", ["local", "datatrove-local"])
def test_document_that_was_purged_is_not_fetched_with_those_to_retry(
    name: str, tmp_path: Path, web: LocalWeb, is_down: list[bool]
) -> None:
    settings = settings_of_web(tmp_path, web)
    run(settings, name)
    is_down[0] = False
    purged = purge(tmp_path / f"{name}.work", Takedowns([{"url_pattern": r"/0\.png$", "reason": "asked"}]))
    assert purged.deleted["candidates"] == 1
    before = web.requests.copy()
    counts = run(settings, name)
    assert "/3.png" in web.requests - before
    assert "/0.png" not in web.requests - before
    assert counts is not None
    assert (counts.num_in, counts.removed) == (60, {"http_404": 6, "purged": 1})


def run_on_slurm(settings: BuildSettings, num_runs: int) -> list[bool]:
    """For each run whether it ended with a submission."""
    return [run(settings, "slurm") is None for _ in range(num_runs)]


@pytest.mark.parametrize(
    ("single", "multi", "num_submissions"), [(None, None, 1), (None, 0, 1), (22, None, 2), (22, 9, 3)]
)
def test_slurm_needs_few_submissions(
    single: int | None, multi: int | None, num_submissions: int, tmp_path: Path, jobs: list[int]
) -> None:
    settings = settings_of(tmp_path, "tar", num_single=single, num_multi=multi)
    run(settings)
    assert run_on_slurm(settings, num_submissions + 2) == [True] * num_submissions + [False, False]
    assert len(jobs) == num_submissions
    assert_same(tmp_path, "slurm")


def test_slurm_tries_again_as_often_as_it_may(tmp_path: Path, web: LocalWeb, jobs: list[int]) -> None:
    settings = settings_of_web(tmp_path, web)
    run(settings)
    assert run_on_slurm(settings, 7) == [True, False, True, False, True, False, False]
    assert len(jobs) == 3
    assert_same(tmp_path, "slurm")


def test_rank_that_left_a_part_undone_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Ray, which does not say that a rank failed."""
    monkeypatch.setattr(shard_job, "launch", lambda job, engine: True)
    with pytest.raises(ValueError, match="collect: 7 parts of the source were not finished, the first is number 0"):
        run(settings_of(tmp_path, "tar"), "ray")


def test_file_on_the_hub_goes_to_a_rank_without_what_else_is_known_of_the_hub() -> None:
    file = SourceFile("a.parquet", 10, "1", address="datasets/org/corpus@1/a.parquet")
    assert pickle.loads(pickle.dumps(file)) == file
    assert len(pickle.dumps(file)) < 300
