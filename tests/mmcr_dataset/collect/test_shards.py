"""The collect stage: order, memory, what a second run asks again, what a killed run leaves."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmcr_dataset.__main__ import main
from mmcr_dataset.collect import shards
from mmcr_dataset.collect.candidates import read_candidates
from mmcr_dataset.collect.document import Candidate, Document, ImageAt
from mmcr_dataset.collect.draw import Quota, draw_documents
from mmcr_dataset.collect.sources.open_source import open_source
from mmcr_dataset.collect.web.byte_budget import ByteBudget
from mmcr_dataset.collect.web.fetch_settings import FetchSettings
from mmcr_dataset.collect.web.window import fetch_in_order
from mmcr_dataset.record.images import ImageLimits
from mmcr_dataset.record.load import load_dialogues
from mmcr_dataset.stage.stages import Removed, Stage
from tests.conftest import image_bytes
from tests.local_web import LocalWeb, Page

TEXT = "This is the old lighthouse on the small island in the sea."
LOCAL = FetchSettings(opt_outs="headers", allow_loopback=True, timeout_s=5.0, backoff_s=0.01)


def documents(urls: list[str]) -> Iterator[Document | Removed]:
    return iter([Document(f"d{number}", (ImageAt(url=url), TEXT)) for number, url in enumerate(urls)])


def collect(
    stage: Stage, items: Iterator[Document | Removed], settings: FetchSettings = LOCAL, first: int = 0
) -> list[int]:
    return asyncio.run(shards.collect_shards(stage, first, items, settings, ImageLimits()))


def contents(stage: Stage) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in stage.folder.glob("0*")}


def test_shards_slow_images_change_neither_order_nor_bytes(tmp_path: Path) -> None:
    slow: set[str] = set()

    def page(path: str, _: int) -> Page:
        number = int(path[1:-4])
        return Page(image_bytes(number), delay_s=0.2 if path in slow else 0.0)

    with LocalWeb(page) as web:
        urls = [f"{web.url}/{number}.png" for number in range(120)]
        first, second = Stage.begin(tmp_path / "a", "collect", {}), Stage.begin(tmp_path / "b", "collect", {})
        collect(first, documents(urls))
        slow |= {f"/{number}.png" for number in (0, 50, 101)}
        collect(second, documents(urls))
    assert contents(first) == contents(second)
    assert sorted(contents(first)) == sorted(
        f"{number:05d}.{end}" for number in (0, 1) for end in ("parquet", "count.json", "removed.jsonl")
    )
    assert [row.id for row in read_candidates(first.shard(1, "parquet"))] == [f"d{n}" for n in range(100, 120)]


def test_shards_end_early_where_the_images_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BYTES_A_SHARD", 50_000)
    with LocalWeb(lambda path, _: Page(image_bytes(int(path[1:-4])))) as web:
        stage = Stage.begin(tmp_path, "collect", {})
        collect(stage, documents([f"{web.url}/{number}.png" for number in range(20)]))
    sizes = [path.stat().st_size for path in sorted(stage.folder.glob("*.parquet"))]
    assert len(sizes) > 3
    assert max(sizes) < 50_000 + len(image_bytes(0)) + 10_000
    assert stage.close().num_kept == 20


def test_window_holds_no_more_bytes_than_it_may() -> None:
    images = [image_bytes(number, (200, 150)) for number in range(40)]
    budget = ByteBudget(300_000)
    assert sum(map(len, images)) > 6 * 300_000

    async def run(web: LocalWeb) -> list[Candidate | Removed]:
        items = ((None, item) for item in documents([f"{web.url}/{number}.png" for number in range(40)]))
        return [result async for _, result in fetch_in_order(items, LOCAL, budget=budget)]

    with LocalWeb(lambda path, _: Page(images[int(path[1:-4])], delay_s=0.2 * (path == "/0.png"))) as web:
        results = asyncio.run(run(web))
    assert [result.id for result in results] == [f"d{number}" for number in range(40)]
    assert all(isinstance(result, Candidate) for result in results)
    assert budget.peak_bytes <= 300_000 + max(map(len, images))
    assert budget.held_bytes == 0


def test_window_images_of_local_files_count_too(tmp_path: Path) -> None:
    places = [ImageAt(path=tmp_path / f"{number}.png") for number in range(30)]
    for number, place in enumerate(places):
        assert place.path is not None
        place.path.write_bytes(image_bytes(number, (200, 150)))
    budget = ByteBudget(300_000)

    async def run() -> int:
        items = ((None, Document(f"d{number}", (place, TEXT))) for number, place in enumerate(places))
        return sum([isinstance(result, Candidate) async for _, result in fetch_in_order(items, LOCAL, budget=budget)])

    assert asyncio.run(run()) == 30
    assert budget.peak_bytes <= 300_000 + max(place.path.stat().st_size for place in places if place.path)


def test_window_first_document_that_must_try_again_is_not_shut_out_by_those_that_wait_for_it(tmp_path: Path) -> None:
    images = [image_bytes(number, (400, 300)) for number in range(4)]
    settings = FetchSettings(
        opt_outs="headers",
        allow_loopback=True,
        timeout_s=30,
        backoff_s=0.2,
        max_in_flight=2,
        max_in_flight_host=2,
        max_held_bytes=1000,
    )

    def page(path: str, earlier: int) -> Page:
        number = int(path[1:-4])
        return Page(status=503) if number == 0 and not earlier else Page(images[number])

    with LocalWeb(page) as web:
        stage = Stage.begin(tmp_path, "collect", {})
        collect(stage, documents([f"{web.url}/{number}.png" for number in range(4)]), settings)
    assert [row.id for row in read_candidates(stage.shard(0, "parquet"))] == ["d0", "d1", "d2", "d3"]


def test_window_document_of_ten_thousand_addresses_asks_for_none(tmp_path: Path) -> None:
    with LocalWeb(lambda *_: Page(image_bytes(1))) as web:
        many = Document("many", (*(ImageAt(url=f"{web.url}/{n}.png") for n in range(10_000)), TEXT))
        same = Document("same", (*(ImageAt(url=f"{web.url}/one.png") for _ in range(10_000)), TEXT))
        stage = Stage.begin(tmp_path, "collect", {})
        collect(stage, iter([many, same]))
        assert stage.close().removed == {"too_many_images": 1}
        assert web.requests == {"/one.png": 1}


def test_window_enormous_text_is_cut_and_a_poisoned_document_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(image_bytes(1))
    place = ImageAt(path=tmp_path / "a.png")
    items: list[Document | Removed] = [
        Document("long", (place, "word " * 2_000_000)),
        Document("many", (place, *("word " for _ in range(200_000)))),
        Document("poisoned", (place, 7)),  # type: ignore[arg-type]  # what no reader should give
        Document("good", (place, TEXT)),
    ]
    stage = Stage.begin(tmp_path / "work", "collect", {})
    collect(stage, iter(items))
    assert stage.close().removed == {"unforeseen_error": 1}
    kept = read_candidates(stage.shard(0, "parquet"))
    assert [candidate.id for candidate in kept] == ["long", "many", "good"]
    assert len(kept[0].text) <= 8000


def row(number: int, url: str) -> dict[str, Any]:
    text = f"The image number {number} shows a hill in the sun."
    return {"general_metadata": {"id": f"doc{number}", "url": None}, "images": [url, None], "texts": [None, text]}


def build(tmp_path: Path, *flags: str) -> int:
    fixed = [
        "--writer",
        "offline",
        "--filter",
        "none",
        "--allow-loopback",
        "--fetch_opt_outs",
        "headers",
        "--fetch-timeout-s",
        "2",
    ]
    return main(["build", "--source", str(tmp_path / "rows.parquet"), "--out", str(tmp_path / "set"), *fixed, *flags])


def test_build_again_asks_only_for_what_may_be_there_now(tmp_path: Path) -> None:
    day = [1]

    def page(path: str, earlier: int) -> Page:
        number = int(path[1:-4])
        if number % 10 == 3:
            return Page(status=404)
        if number % 10 == 7 and day[0] == 1:
            return Page(status=503)
        return Page(image_bytes(number))

    with LocalWeb(page) as web:
        rows = [row(number, f"{web.url}/{number}.png") for number in range(120)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
        assert build(tmp_path) == 0
        assert sum(1 for _ in load_dialogues(str(tmp_path / "set"))) == 96
        asked = web.requests.copy()
        day[0] = 2
        assert build(tmp_path) == 0
        again = web.requests - asked
        assert again == {f"/{number}.png": 1 for number in range(7, 120, 10)}
        assert sum(1 for _ in load_dialogues(str(tmp_path / "set"))) == 108
        assert not (tmp_path / "set.work" / "1_removed" / "http_5xx.jsonl").exists()
        assert build(tmp_path) == 0
        assert web.requests - asked == again
        kept = read_candidates(tmp_path / "set.work" / "1_candidates" / "00000.parquet")
    assert [candidate.id for candidate in kept] == [f"doc{n}" for n in range(100) if n % 10 != 3]


def test_build_killed_while_fetching_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    def page(path: str, _: int) -> Page:
        return Page(image_bytes(int(path[1:-4])), delay_s=0.05)

    with LocalWeb(page) as web:
        rows = [row(number, f"{web.url}/{number}.png") for number in range(350)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
        command = [sys.executable, "-m", "mmcr_dataset", "build", "--source", str(tmp_path / "rows.parquet")]
        flags = [
            "--out",
            str(tmp_path / "set"),
            "--writer",
            "offline",
            "--filter",
            "none",
            "--allow-loopback",
            "--fetch_opt_outs",
            "headers",
        ]
        process = subprocess.Popen([*command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        mark = tmp_path / "set.work" / "1_candidates" / "00001.count.json"
        until = time.monotonic() + 60
        while not mark.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert mark.exists()
        done = {f"/{number}.png" for number in range(200)}
        assert build(tmp_path) == 0
        assert all(web.requests[path] == 1 for path in done)
        first = {p.name: p.read_bytes() for p in (tmp_path / "set.work" / "1_candidates").glob("*.parquet")}
        (tmp_path / "set.work" / "1_candidates" / "stage.json").unlink()
        assert build(tmp_path) == 0
        assert first == {p.name: p.read_bytes() for p in (tmp_path / "set.work" / "1_candidates").glob("*.parquet")}
        assert len(first) == 4


def test_shards_broken_corpus_over_http_ends_as_its_keeper_expects(corpus: Path, tmp_path: Path) -> None:
    notes = [json.loads(line) for line in (corpus / "provenance_broken.jsonl").read_text("utf-8").splitlines()]

    def page(path: str, _: int) -> Page:
        file = corpus / unquote(path).lstrip("/")
        kind = "text/html" if file.suffix == ".html" else "image/jpeg"
        return Page(file.read_bytes(), headers={"Content-Type": kind}) if file.is_file() else Page(status=404)

    with LocalWeb(page) as web:
        table = pq.read_table(corpus / "corpus_broken.parquet").to_pylist()
        for number, values in enumerate(table):
            values["general_metadata"] = (values["general_metadata"] or {}) | {"id": f"row{number}"}
            for at, url in enumerate(values["images"] or []):
                values["images"][at] = url and url.replace("http://127.0.0.1:8765", web.url)
        pq.write_table(pa.Table.from_pylist(table), tmp_path / "rows.parquet")
        stage = Stage.begin(tmp_path / "work", "collect", {})
        screened = draw_documents(open_source(str(tmp_path / "rows.parquet")), Quota(None, None))
        collect(stage, screened)
    kept = {candidate.id: candidate for candidate in read_candidates(stage.shard(0, "parquet"))}
    removed = {row.id: row.reason for row in stage.removed_rows(0)}
    assert len(kept) + len(removed) == len(notes) == 45
    for number, note in enumerate(notes):
        must_go = re.match(r"drop(?! or| if|, or)", note["expect"])
        must_be_kept = re.match(r"keep(?! if| or drop)|neutralise|strip|cut to|the text is data", note["expect"])
        assert not must_go or f"row{number}" in removed, note
        assert not must_be_kept or f"row{number}" in kept, (note, removed.get(f"row{number}"))
    assert "unforeseen_error" not in removed.values()
    assert Counter(removed.values())["bad_address"] == 4
