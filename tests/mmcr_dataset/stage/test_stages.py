"""A stage is begun or opened: what fails leaves the former one whole, what reads writes nothing."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmcr_dataset.__main__ import main
from mmcr_dataset.filters.report import show_report
from mmcr_dataset.generate import run
from mmcr_dataset.generate.ranks import GenerateTask
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.publish.builder import open_builder
from mmcr_dataset.stage.engine import EngineSettings
from mmcr_dataset.stage.stages import (
    REMOVED,
    STAGES,
    Removed,
    Stage,
    invalidate_shards,
    numbered,
    write_jsonl,
    write_text,
)
from mmcr_dataset.stage.work_folder import read_dialogues, read_similarities, read_thresholds
from tests.conftest import image_bytes
from tests.fake_chat_server import Answer, FakeChatServer
from tests.mmcr_dataset.test_pipeline import good_reply


def rows_of(folder: Path, name: str, numbers: range) -> None:
    """A Parquet file of documents with an image file each beside it."""
    rows = []
    for number in numbers:
        (folder / f"{number}.png").write_bytes(image_bytes(max(1, number)))  # 0 and 1 show the same
        text = f"This is the hill with the number {number} in the sun. It has a long path." if number != 3 else ""
        (folder / f"{number}.txt").write_text(text)
        rows.append({"images": [None, None], "texts": [None, text]})
    pq.write_table(pa.Table.from_pylist(rows), folder / name) if name else None


def reply(request: dict[str, Any]) -> str | Answer:
    """A good reply; for document 2 one that no parser reads, for document 4 one in the form of a list."""
    text = request["messages"][0]["content"][0]["text"]
    said = good_reply(request).replace("In image 1 there is", "- one\n- two\nimage 1")
    return "nothing" if "number 2" in text else said if "number 4" in text else good_reply(request)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """The home of a finished build that removed a row in each stage."""
    (tmp_path / "source").mkdir()
    rows_of(tmp_path / "source", "", range(6))
    with FakeChatServer(reply) as server:
        assert build(tmp_path, "--endpoint", f"{server.base_url}#fake") == 0
    for stage in ("collect", "generate", "filter"):
        assert list((tmp_path / "set.work" / REMOVED[stage]).glob("*.jsonl")), stage
    return tmp_path


def build(home: Path, *flags: str) -> int:
    """A build into HOME/set; later flags win over those given here."""
    fixed = ["--source", str(home / "source"), "--out", str(home / "set"), "--filter", "none", "--max-in-flight", "2"]
    return main(["build", *fixed, *flags])


def files(home: Path) -> dict[str, bytes]:
    """Everything of a build but the ledger, which may grow, and what a new build has begun beside it."""
    paths = [path for name in ("set", "set.work") for path in (home / name).rglob("*") if path.is_file()]
    kept = [path for path in paths if not re.search(r"ledger|batches|\.unfinished", str(path.relative_to(home)))]
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in kept}


def break_second_file(home: Path) -> None:
    rows_of(home / "source", "a.parquet", range(10, 12))
    (home / "source" / "b.parquet").write_bytes(b"PAR1 and nothing more")


def change_texts(home: Path) -> None:
    for path in (home / "source").glob("*.txt"):
        path.write_text(f"A new text about {path.stem} that says quite another thing. It is new.")


@pytest.mark.parametrize(
    ("change", "flags"),
    [
        (None, ["--filter", "open_clip:ViT-B-32/no-such-tag"]),
        (None, ["--filter", "clop"]),
        (change_texts, ["--filter", "open_clip:no-such-model/openai"]),
        (None, ["--source", "nowhere"]),
        (break_second_file, []),
        (change_texts, ["--max-probability", "unsafe=0.5"]),
        (None, ["--evaluation-set", "nowhere"]),
        (change_texts, ["--evaluation-set", "EMPTY"]),
        (None, ["--endpoint", "ANSWERS_NOTHING#other"]),
        (None, ["--endpoint", "REFUSES#other"]),
        (None, ["--endpoint", "REFUSES#other", "--writer", "openai-batch"]),
    ],
)
def test_build_that_fails_before_its_first_shard_leaves_the_former_whole(
    built: Path, change: Callable[[Path], None] | None, flags: list[str]
) -> None:
    before = files(built)
    if change is not None:
        change(built)
    (built / "empty").mkdir()

    def no(request: dict[str, Any]) -> str | Answer:
        return Answer("no", status=400) if request["model"] == "nobody" else Answer("no", status=401)

    with FakeChatServer(no) as refuses, FakeChatServer(reply) as server:
        places = {
            "EMPTY": str(built / "empty"),
            "REFUSES#other": f"{refuses.base_url}#other",
            "ANSWERS_NOTHING#other": f"{refuses.base_url}#nobody",
        }
        given = [places.get(flag, flag) for flag in flags]
        assert build(built, "--endpoint", f"{server.base_url}#fake", *given) == 2
    assert files(built) == before


def test_build_of_the_former_settings_after_a_failed_one_asks_for_nothing(built: Path) -> None:
    before = files(built)
    with FakeChatServer(lambda _: Answer("no", status=401)) as refuses:
        assert build(built, "--endpoint", f"{refuses.base_url}#other") == 2
        assert (built / "set.work" / "2_dialogues.unfinished").is_dir()
        port = json.loads((built / "set.work/2_dialogues/stage.json").read_text())["settings"]["writer"]["endpoint"]
        assert build(built, "--endpoint", "#".join(port)) == 0
    assert {name: data for name, data in files(built).items() if not name.endswith("report.html")} == {
        name: data for name, data in before.items() if not name.endswith("report.html")
    }


def finished(work: Path, settings: dict[str, Any], rows: int) -> Stage:
    """The stage `generate` with so many shards of one row and one removed row each, not closed."""
    stage = Stage.begin(work, "generate", settings)
    for number in range(rows):
        write_jsonl(stage.shard(number, "jsonl"), [{"made": settings}])
        stage.finish(number, 2, 1, [Removed(f"{number}", f"reason_{settings['a']}", "")])
    return stage


def test_begin_resumes_and_close_replaces(tmp_path: Path) -> None:
    finished(tmp_path, {"a": 1}, 3).close()
    begun = finished(tmp_path, {"a": 2}, 1)
    assert Stage.open(tmp_path, "generate").settings == {"a": 1}
    assert Stage.begin(tmp_path, "generate", {"a": 2}).is_finished(0)
    assert Stage.begin(tmp_path, "generate", {"a": 1}).is_finished(2)
    invalidate_shards(tmp_path, "generate", [0])
    assert not begun.is_finished(0)
    assert finished(tmp_path, {"a": 2}, 1).close().num_kept == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2_dialogues", "2_removed"]
    assert [path.name for path in (tmp_path / "2_removed").iterdir()] == ["reason_2.jsonl"]
    assert Stage.open(tmp_path, "generate").count().num_in == 2


def test_begin_after_a_kill_while_the_stage_was_replaced(tmp_path: Path) -> None:
    finished(tmp_path, {"a": 1}, 3).close()
    finished(tmp_path, {"a": 2}, 1)
    (tmp_path / "2_dialogues").rename(tmp_path / "2_dialogues.former")
    stage = Stage.begin(tmp_path, "generate", {"a": 2})
    assert stage.is_finished(0)
    assert stage.close().num_kept == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2_dialogues", "2_removed"]


def test_begin_takes_no_shards_whose_settings_are_not_known(tmp_path: Path) -> None:
    finished(tmp_path, {"a": 1}, 2).close()
    (tmp_path / "2_dialogues" / "stage.json").unlink()
    assert not Stage.begin(tmp_path, "generate", {"a": 2}).is_finished(0)


def test_each_stage_has_its_own_removed_folder() -> None:
    assert len({*REMOVED.values(), *STAGES.values()}) == 2 * len(STAGES)
    assert REMOVED.keys() == STAGES.keys()


@pytest.mark.parametrize("read", [read_similarities, read_thresholds, open_builder, lambda w: Stage.open(w, "filter")])
def test_open_what_was_never_made_writes_nothing_and_says_what_to_run(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"stage\.json in it; expected the OUT\.work folder .* mmcr_dataset build"):
        read(tmp_path)
    assert not list(tmp_path.iterdir())


def test_open_damaged_state_names_the_file(tmp_path: Path) -> None:
    finished(tmp_path, {"a": 1}, 1)
    (tmp_path / "2_dialogues" / "stage.json").write_text("{")
    with pytest.raises(ValueError, match=r"2_dialogues/stage\.json: not the state of a stage .* delete"):
        Stage.open(tmp_path, "generate")


def test_reading_a_work_folder_writes_nothing(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def seen() -> dict[str, tuple[int, bytes]]:
        paths = [path for path in built.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}

    work, before = built / "set.work", seen()
    counts = [Stage.open(work, stage).count() for stage in ("collect", "generate", "filter")]
    assert [sum(count.removed.values()) for count in counts] == [1, 2, 1]  # repeated images before they are paid for
    show_report(work, counts)
    assert read_similarities(work)
    assert read_thresholds(work) == {"single": None, "multi": None}
    assert len(list(read_dialogues(work, "filter"))) == counts[-1].num_kept
    open_builder(work)
    assert main(["describe", str(built / "set")]) == 0
    assert main(["check", str(built / "set")]) == 0
    assert main(["contamination", str(built / "set")]) == 0
    assert main(["label", str(work)]) == 2
    assert "had no similarity threshold" in capsys.readouterr().err
    assert seen() == before


def test_shards_past_99999_are_read_and_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    stage = Stage.begin(tmp_path, "generate", {"a": 1})
    numbers = [7, 99_999, 100_000, 100_001, 1_000_000]
    for number in reversed(numbers):
        write_jsonl(stage.shard(number, "jsonl"), [{"id": f"d{number}"}])
        stage.finish(number, 2, 1, [Removed(f"r{number}", "odd", "it is")])
    assert stage.close().num_kept == len(numbers)
    assert [number for number, _ in numbered(stage.folder, "jsonl")] == numbers
    removed = (tmp_path / "2_removed" / "odd.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in removed] == [f"r{number}" for number in numbers]
    before = stage.content_hash()
    stage.delete_from(100_001)
    assert [number for number, _ in numbered(stage.folder, "jsonl")] == numbers[:3]
    assert stage.content_hash() != before


def test_hash_of_a_shard_is_noted_and_follows_a_later_edit(tmp_path: Path) -> None:
    stage = Stage.begin(tmp_path, "generate", {"a": 1})
    write_jsonl(stage.shard(0, "jsonl"), [{"id": "one"}])
    stage.finish(0, 1, 1, [])
    before = stage.shard_hash(0)
    assert json.loads(stage.shard(0, "count.json").read_text())["rows"]["sha256"] == before
    counted = stage.shard(0, "count.json").stat().st_mtime_ns
    stage.shard(0, "jsonl").write_text(stage.shard(0, "jsonl").read_text().replace("one", "two"))  # of the same size
    os.utime(stage.shard(0, "jsonl"), ns=(counted + 1, counted + 1))
    assert stage.shard_hash(0) != before
    stage.invalidate(0)
    assert stage.shard_hash(0) != before


def test_start_of_the_paid_stage_takes_linear_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million shards: what is done before the first request must not grow with the square of their number."""
    monkeypatch.setattr(run, "write_shards", lambda *_: None)  # nothing is asked

    def cpu_s(count: int) -> float:
        work = tmp_path / str(count)
        write_text(Stage.begin(work, "collect", {"a": 1}).shard(0, "jsonl"), "")
        stage = Stage.begin(work, "generate", {"a": 1})
        task = GenerateTask(work, WriterSettings("offline"), EngineSettings())
        start = time.process_time()
        run._write(task, stage, range(count), None)
        return time.process_time() - start

    few = min(cpu_s(2000) for _ in range(3))
    assert cpu_s(16_000) < 24 * few  # 8 if linear, 64 if quadratic


def test_a_slow_reply_is_waited_for_as_long_as_the_flag_says(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    rows_of(tmp_path / "source", "", range(4, 7))
    for flags, num_requests in ((["--request_timeout_s", "0.7"], 4), ([], 3)):
        delays = iter([4.0, 0.0, 0.0, 0.0])
        out = tmp_path / f"set{num_requests}"
        with FakeChatServer(lambda request, delays=delays: Answer(good_reply(request), delay_s=next(delays))) as server:
            words = ["--endpoint", f"{server.base_url}#fake", "--output_dir", str(out), *flags]
            assert main(["build", "--source", str(tmp_path / "source"), "--filter", "none", *words]) == 0
            assert len(server.requests) == num_requests
        assert json.loads((out / "funnel.json").read_text())[-1]["num_kept"] == 3
