"""A build from end to end: offline, with an endpoint, resumed, with bad input; what comes out loads and is the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmcr_dataset.__main__ import main
from mmcr_dataset.build_settings import BuildSettings
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.pipeline import build
from mmcr_dataset.record.load import load_dialogues
from mmcr_dataset.record.row import from_row
from tests.conftest import image_bytes
from tests.fake_chat_server import Answer, FakeChatServer
from tests.local_web import LocalWeb, Page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A source folder: six single images and three pairs with text."""
    source = tmp_path / "source"
    for number in range(6):
        source.mkdir(exist_ok=True)
        (source / f"{number}.png").write_bytes(image_bytes(number))
        (source / f"{number}.txt").write_text(f"This is the field number {number} in spring. It has a long fence.")
    for number in range(3):
        pair = source / f"pair{number}"
        pair.mkdir()
        for side in range(2):
            (pair / f"{side}.png").write_bytes(image_bytes(10 + 2 * number + side))
            (pair / f"{side}.txt").write_text(f"Here is the side {side} of the house {number}. The roof is new.")
    return source


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def offline(source: Path, out: Path, **settings: Any) -> BuildSettings:
    return BuildSettings(str(source), out, **{"writer": WriterSettings("offline"), "matcher": "none", **settings})


def test_build_offline_loads_by_name_single_multi_and_streaming(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import load_dataset

    monkeypatch.chdir(tmp_path)
    build(offline(folder, Path("mmcr-310k")))
    assert load_dataset("mmcr-310k")["train"].num_rows == 9
    assert load_dataset("mmcr-310k", "single", split="train").num_rows == 6
    multi = load_dataset("mmcr-310k", "multi", split="train", streaming=True)
    rows = list(multi)
    assert len(rows) == 3
    assert rows[0]["images"][0].size == (96, 72)
    assert rows[0]["generation"]["writer"] == "offline"


def test_builder_gives_the_rows_of_the_folder_without_it(folder: Path, tmp_path: Path) -> None:
    from datasets import Image, List

    from mmcr_dataset.publish.builder import open_builder

    build(offline(folder, tmp_path / "set"))
    for config, count in (("default", 9), ("single", 6), ("multi", 3)):
        published = sorted(load_dialogues(str(tmp_path / "set"), config), key=lambda dialogue: dialogue.id)
        builder = open_builder(tmp_path / "set.work", config, tmp_path / "cache")
        builder.download_and_prepare()
        for rows in (builder.as_dataset("train"), builder.as_streaming_dataset("train")):
            found = [from_row(row) for row in rows.cast_column("images", List(Image(decode=False)))]
            assert len(found) == count
            assert sorted(found, key=lambda dialogue: dialogue.id) == published
    build(offline(folder, tmp_path / "set", num_single=2, num_multi=0))
    assert len(list(open_builder(tmp_path / "set.work").as_streaming_dataset("train"))) == 2
    with pytest.raises(ValueError, match="expected one of default, single, multi"):
        open_builder(tmp_path / "set.work", "double")
    with pytest.raises(ValueError, match=r"OUT\.work folder"):
        open_builder(tmp_path / "set")


def test_build_leaves_out_repeats_and_images_of_evaluation_sets(folder: Path, tmp_path: Path) -> None:
    (folder / "again.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "again.txt").write_text("This is another text about the very same field in spring.")
    bench = tmp_path / "bench"
    bench.mkdir()
    (bench / "q1.png").write_bytes((folder / "pair1" / "0.png").read_bytes())
    counts = build(offline(folder, tmp_path / "set", evaluation_sets=(bench,)))
    assert counts[-1].removed == {"in_evaluation_set": 1, "repeated_images": 1}
    (row,) = map(json.loads, (tmp_path / "set.work/3_removed/in_evaluation_set.jsonl").open())
    assert row["detail"] == "image 1 is q1.png of bench"
    assert build(offline(folder, tmp_path / "set"))[-1].removed == {"repeated_images": 1}
    with pytest.raises(ValueError, match="nothing is left"):  # similarity counts before the evaluation set
        build(
            offline(
                folder,
                tmp_path / "set",
                evaluation_sets=(bench,),
                matcher="labels",
                similarity_min="1.0",
            )
        )
    assert [path.stem for path in (tmp_path / "set.work/3_removed").iterdir()] == ["low_similarity"]


def test_build_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    build(offline(folder, tmp_path / "a" / "set"))
    build(offline(folder, tmp_path / "b" / "set"))
    assert contents(tmp_path / "a" / "set") == contents(tmp_path / "b" / "set")


def test_number_of_shards_counts_images_and_texts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(offline(folder, tmp_path / "one"))
    sizes = [
        sum(path.stat().st_size for path in (tmp_path / "one.work" / stage).glob("00*[0-9]." + suffix))
        for stage, suffix in (("1_candidates", "parquet"), ("3_kept", "jsonl"))
    ]
    assert min(sizes) > 0
    monkeypatch.setattr("mmcr_dataset.publish.parquet.SHARD_BYTES_TARGET", max(sizes) + 1)  # either alone fits
    build(offline(folder, tmp_path / "two"))
    shards = [next((tmp_path / name / "single").glob("*.parquet")).name[-9:-8] for name in ("one", "two")]
    assert shards == ["1", "2"]


def test_build_again_after_a_change_loads_the_new_rows(folder: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    build(offline(folder, tmp_path / "set"))
    before = {row["id"] for row in load_dataset(str(tmp_path / "set"), split="train")}
    (folder / "0.txt").write_text("A quite different text about a different thing. It is new.")
    (folder / "5.png").unlink()
    build(offline(folder, tmp_path / "set"))
    after = {row["id"] for row in load_dataset(str(tmp_path / "set"), split="train")}
    assert len(after) == 8
    assert after < before


def test_build_takes_as_many_as_asked(folder: Path, tmp_path: Path) -> None:
    counts = build(offline(folder, tmp_path / "set", num_single=2, num_multi=1))
    assert [count.num_in for count in counts] == [3, 3, 3]


def good_reply(request: dict[str, Any]) -> str:
    """A valid reply of the right length for the images of a request."""
    content = request["messages"][0]["content"]
    count = sum(block["type"] == "image_url" for block in content)
    lines = []
    for turn in range(1, (4 if count == 1 else 8) + 1):
        shown = f"<image {turn}> " if turn <= count else ""
        lines.append(f"< Human {turn} >: {shown}What is in the part {turn} of it?")
        lines.append(f"< Assistant {turn} >: In image {min(turn, count)} there is the thing with number {turn}.")
    return "\n".join(lines)


def openai(source: Path | str, out: Path, server: FakeChatServer, *flags: str) -> int:
    endpoint = [] if "--endpoint" in flags else ["--endpoint", f"{server.base_url}#fake"]
    fixed = ["--writer", "openai", "--filter", "none"] + ["--max-in-flight=4"] * ("--max-in-flight" not in flags)
    return main(["build", "--source", str(source), "--out", str(out), *endpoint, *fixed, *flags])


def test_build_openai_writes_what_the_model_said_and_pays_once(folder: Path, tmp_path: Path) -> None:
    with FakeChatServer(good_reply) as server:
        assert openai(folder, tmp_path / "set", server) == 0
        assert len(server.requests) == 9
        first = contents(tmp_path / "set")
        assert openai(folder, tmp_path / "set", server) == 0
        (folder / "6.png").write_bytes(image_bytes(99))
        (folder / "6.txt").write_text("One more field that was not there before.")
        assert openai(folder, tmp_path / "set", server) == 0
        assert len(server.requests) == 10
    assert first != contents(tmp_path / "set")
    dialogue = next(load_dialogues(str(tmp_path / "set"), "single"))
    assert dialogue.generation.model == "fake-vlm-2026-01-01"
    assert dialogue.generation.prompt_tokens == 1000
    assert dialogue.generation.date == "2025-10-09"
    assert dialogue.turns[3].assistant == "In image 1 there is the thing with number 4."


def test_build_openai_bad_replies_are_counted_by_reason_and_kept(folder: Path, tmp_path: Path) -> None:
    def reply(request: dict[str, Any]) -> str | Answer:
        text = request["messages"][0]["content"][0]["text"]
        if "number 0" in text:
            return "I'm sorry, I can't do that."
        if "number 1" in text:
            return Answer("cut", finish_reason="length")
        if "number 2" in text:
            return good_reply(request).replace("In image 1 there is", "- one\n- two\nimage 1")
        return good_reply(request)

    with FakeChatServer(reply) as server:
        assert openai(folder, tmp_path / "set", server) == 0
    work = tmp_path / "set.work"
    assert json.loads((work / "2_removed" / "refusal.jsonl").read_text())["id"] == "0.png"
    assert json.loads((work / "2_removed" / "length.jsonl").read_text())["id"] == "1.png"
    assert json.loads((work / "3_removed" / "answer_in_list_form.jsonl").read_text())["reason"] == "answer_in_list_form"
    funnel = json.loads((tmp_path / "set" / "funnel.json").read_text())
    assert [stage["num_kept"] for stage in funnel] == [9, 7, 6]
    assert sum(1 for _ in load_dialogues(str(tmp_path / "set"))) == 6


def test_build_counts_what_a_rule_only_counts_in_log_report_funnel_and_card(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "set"
    rules = ["--rule", "answer_omits_image=count", "--rule", "bad_length=off"]

    def silent_reply(request: dict[str, Any]) -> str:
        return re.sub("In image [0-9]", "In it", good_reply(request))

    flags = ["--writer", "offline", "--filter", "none", "--out", str(out), "--source", str(folder)]
    with caplog.at_level("INFO"), FakeChatServer(silent_reply) as server:
        assert openai(folder, out, server, *rules) == 0
    funnel = json.loads((out / "funnel.json").read_text())[-1]
    number = funnel["counted"]["answer_omits_image"]
    assert 0 < number <= funnel["num_kept"]
    assert f"counted: {number} answer_omits_image" in caplog.text
    assert "Kept, but counted by a rule" in (out.with_name("set.work") / "report.html").read_text()
    assert f"answer\\_omits\\_image: {number}" in (out / "README.md").read_text()
    assert main(["build", *flags, "--rule", "list=off"]) == 2


def test_build_again_asks_again_what_was_refused_and_only_that(folder: Path, tmp_path: Path) -> None:
    days: list[str] = []

    def reply(request: dict[str, Any]) -> str | Answer:
        text = request["messages"][0]["content"][0]["text"]
        return Answer(None, refusal="Not today.") if "number 0" in text and not days else good_reply(request)

    with FakeChatServer(reply) as server:
        assert openai(folder, tmp_path / "set", server) == 0
        assert sum(1 for _ in load_dialogues(str(tmp_path / "set"))) == 8
        days.append("tomorrow")
        assert openai(folder, tmp_path / "set", server) == 0
        assert len(server.requests) == 10
    assert sum(1 for _ in load_dialogues(str(tmp_path / "set"))) == 9


def test_build_endpoint_that_dies_midway_goes_on_where_it_stopped(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answered: list[int] = []

    def dying(request: dict[str, Any]) -> str | Answer:
        if len(answered) >= 4:
            return Answer("revoked", status=401)
        answered.append(1)
        return good_reply(request)

    with FakeChatServer(dying) as server:
        assert openai(folder, tmp_path / "set", server, "--max-in-flight", "1") == 2
    assert "set OPENAI_API_KEY" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
    with FakeChatServer(good_reply) as server:
        base = server.base_url
        assert openai(folder, tmp_path / "set", server) == 0
        assert base
        assert len(server.requests) == 5  # the four answered ones are in the ledger


def omnicorpus_row(number: int, url: str | None, text: str | None) -> dict[str, Any]:
    return {"general_metadata": {"id": f"doc{number}", "url": None}, "images": [url, None], "texts": [None, text]}


def test_build_omnicorpus_over_http_counts_every_bad_image(tmp_path: Path) -> None:
    pages = {"/0.png": Page(image_bytes(0)), "/1.png": Page(b"nonsense"), "/2.png": Page(image_bytes(2))}
    with LocalWeb(lambda path, _: pages.get(path, Page(status=404))) as web:
        rows = [
            omnicorpus_row(0, f"{web.url}/0.png", "The first thing is a hill in the sun."),
            omnicorpus_row(1, f"{web.url}/1.png", "The second thing is not an image at all."),
            omnicorpus_row(2, f"{web.url}/2.png", ""),
            omnicorpus_row(3, f"{web.url}/3.png", "The third thing is missing from the web."),
            omnicorpus_row(4, "file:///etc/passwd", "The fourth thing is not for us."),
            omnicorpus_row(5, f"{web.url}/0.png", "Special: <image> and <|im_start|>system in the text of it."),
        ]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
        flags = ["--writer", "offline", "--filter", "none", "--allow-loopback"]
        assert main(["build", "--source", str(tmp_path / "rows.parquet"), "--out", str(tmp_path / "set"), *flags]) == 0
    funnel = json.loads((tmp_path / "set" / "funnel.json").read_text())
    assert funnel[0]["removed"] == {"not_an_image": 1, "no_text": 1, "http_404": 1, "bad_address": 1}
    assert funnel[2]["removed"] == {"repeated_images": 1}
    (dialogue,) = load_dialogues(str(tmp_path / "set"))
    assert dialogue.images[0].url == f"{web.url}/0.png"


def test_build_damaged_stage_file_names_the_line(folder: Path, tmp_path: Path) -> None:
    build(offline(folder, tmp_path / "set"))
    shard = tmp_path / "set.work" / "2_dialogues" / "00000.jsonl"
    lines = shard.read_text().splitlines()
    shard.write_text("\n".join([lines[0], lines[1][:40], *lines[2:]]))
    with pytest.raises(ValueError, match=r"00000\.jsonl line 2: not JSON .* delete the file to make it again"):
        build(offline(folder, tmp_path / "set", seed=0, matcher="none"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--source", "nowhere", "--writer", "offline", "--filter", "none"], "no such file or folder"),
        (["--source", "demo", "--writer", "gpt"], "invalid choice"),
        (["--source", "demo"], "--endpoint URL#MODEL is required for openai"),
        (["--source", "demo", "--writer", "offline", "--filter", "clop"], "expected none, labels, open_clip"),
        (
            ["--source", "demo", "--writer", "offline", "--filter", "none", "--keep-rate", "0.5"],
            "computes no similarity",
        ),
        (["--source", "demo", "--writer", "offline", "--keep-rate", "2"], "expected a share above 0"),
        (["--source", "demo", "--writer", "offline", "--single", "-1"], "0 or more"),
        (["--source", "demo", "--endpoint", "host#m"], "'host' is no http address; expected URL#MODEL"),
    ],
)
def test_main_build_wrong_setting_is_one_clear_line(
    flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "--out", str(tmp_path / "set"), *flags]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_build_nothing_left_says_where_the_reasons_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.png").write_bytes(image_bytes(1))
    assert (
        main(
            ["build", "--source", str(source), "--out", str(tmp_path / "s"), "--writer", "offline", "--filter", "none"]
        )
        == 2
    )
    said = capsys.readouterr()
    assert "1 no_text" in said.out + said.err
    assert "nothing is left to publish" in said.err


def test_build_keep_rate_keeps_the_best_share(tmp_path: Path) -> None:
    out = tmp_path / "set"
    settings = BuildSettings("demo", out, num_single=8, num_multi=0, writer=WriterSettings("offline"), matcher="labels")
    build(settings)
    kept_all = scores(out)
    build(BuildSettings(**{**vars_of(settings), "keep_rate": 0.5}))
    assert sorted(scores(out)) == sorted(kept_all)[4:]


def test_build_keeps_numbers_and_rates_of_each_kind(tmp_path: Path) -> None:
    """The paper keeps a larger share of dialogues with several images, whose worst image is the less similar one."""
    out = tmp_path / "set"
    settings = BuildSettings(
        "demo", out, num_single=12, num_multi=12, writer=WriterSettings("offline"), matcher="labels"
    )

    def num_kept(**flags: Any) -> tuple[int, int]:
        build(BuildSettings(**{**vars_of(settings), **flags}))
        images = [len(dialogue.images) for dialogue in load_dialogues(str(out))]
        return images.count(1), len(images) - images.count(1)

    single, multi = num_kept()
    halves = num_kept(keep_rate=0.5)
    assert halves == (pytest.approx(single / 2, abs=1), pytest.approx(multi / 2, abs=1))
    assert num_kept(keep_numbers="single=3,multi=4") == (3, 4)
    funnel = json.loads((out / "funnel.json").read_text())[-1]
    assert funnel["removed"]["not_among_best"] == single + multi - 7
    assert num_kept(similarity_min="single=-1,multi=2") == (single, 0)
    assert "Similarity of image and text: multi" in (tmp_path / "set.work" / "report.html").read_text()


def scores(folder: Path) -> list[float]:
    return [image.similarity or 0.0 for dialogue in load_dialogues(str(folder)) for image in dialogue.images]


def vars_of(settings: BuildSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in BuildSettings.__dataclass_fields__}


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
