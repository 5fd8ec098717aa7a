"""What was taken out stays out: by id, address, owner or image; of builds, draws, imports, uploads; and of the disk."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image as PillowImage

from mmcr_bench.build import build_bench
from mmcr_bench.select.candidates import read_ids
from mmcr_dataset.__main__ import main
from mmcr_dataset.publish.card import refresh_card
from mmcr_dataset.publish.hub import publish
from mmcr_dataset.publish.importing import import_conversations
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.publish.publish_settings import PublishSettings
from mmcr_dataset.record.dialogue import Dialogue, Source
from mmcr_dataset.stage.takedowns import Takedowns, is_of, private_log, read_log
from tests.conftest import image_bytes
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_dataset.test_pipeline import good_reply

Make = Callable[..., Dialogue]


def dialogues(make: Make, count: int = 8) -> list[Dialogue]:
    """Of number n, the document is at n.example/jane and the image at a.example."""
    made = [make(1 + n % 2, 4 + 4 * (n % 2), seed=n) for n in range(count)]
    return [
        replace(one, id=f"{n:032x}", source=Source(f"https://n{n}.example/jane/1"), topic="cat")
        for n, one in enumerate(made)
    ]


def flags_of(kind: str, folder: Path, row: Dialogue) -> list[str]:
    """Flags of `remove` that name a row."""
    if kind == "ids":
        (folder / "ids").write_text(f"{row.id}\n")
        return ["--ids", str(folder / "ids")]
    if kind == "images":
        (folder / "found.png").write_bytes(row.images[0].data)
        return ["--images", str(folder / "found.png")]
    number = int(row.id, 16)
    pattern, owner = rf"n{number}\.example", f"N{number}.example/jane"
    return ["--url_pattern", pattern] if kind == "url_pattern" else ["--owner", owner]


KINDS = ("ids", "url_pattern", "owner", "images")


@pytest.mark.parametrize("kind", KINDS)
def test_removal_of_each_kind_holds_in_the_set_its_bench_its_import_and_its_upload(
    kind: str, tmp_path: Path, make_dialogue: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, out = dialogues(make_dialogue), tmp_path / "set"
    write_dataset(rows, out)
    refresh_card(out)
    build_bench(out, tmp_path / "bench", 2, 2)
    drawn = read_ids(tmp_path / "bench")
    in_bench = next(row for row in rows if row.id in drawn)
    row = next(row for row in rows if row.id not in drawn)
    assert main(["remove", str(out), *flags_of(kind, tmp_path, row)]) == 0
    assert main(["remove", str(out), *flags_of(kind, tmp_path, in_bench)]) == 1  # not in the set, but kept out
    assert not {row.id, in_bench.id} & read_ids(out)
    build_bench(out, tmp_path / "bench", 1, 1, overwrite=True)  # the former bench's rows are candidates again
    build_bench(out, tmp_path / "bench", 2, 1, overwrite=True)
    assert not {row.id, in_bench.id} & read_ids(tmp_path / "bench")

    write_dataset(rows, out)  # somebody puts the rows back
    refresh_card(out)
    with pytest.raises(ValueError, match="were taken out, or fall under a rule") as refused:
        publish(out, PublishSettings("tester/set"))
    assert "remove them with" in str(refused.value)
    assert "addresses" in capsys.readouterr().out


def test_removal_by_image_holds_in_an_import(tmp_path: Path) -> None:
    images, records = tmp_path / "images", []
    images.mkdir()
    for number in range(2):
        (images / f"{number}.png").write_bytes(image_bytes(number))
        turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A field in the sun."}]
        records.append({"id": str(number), "image": f"{number}.png", "conversations": turns})
    (tmp_path / "c.json").write_text(json.dumps(records))
    digest = hashlib.sha256(image_bytes(1)).hexdigest()
    private_log(tmp_path / "set").write_text(json.dumps({"image_sha256": digest, "reason": "requested"}) + "\n")
    count = import_conversations(tmp_path / "c.json", images, tmp_path / "set")
    assert (count.num_kept, count.removed) == (1, {"taken_out": 1})


@pytest.mark.parametrize(
    ("owner", "url", "is_owner"),
    [
        ("example.org", "https://example.org/a", True),
        ("example.org", "https://www.Example.org./a", True),
        ("example.org", "https://notexample.org/a", False),
        ("example.org", "https://a.com/?u=example.org", False),
        ("a.com/jane", "https://a.com/Jane/1.png", True),
        ("a.com/jane", "https://a.com/janet/1.png", False),
        ("a.com/jane/", "https://a.com/jane", True),
        ("a.com", "https://[", False),
    ],
)
def test_owner_is_a_host_or_a_path_of_it(owner: str, url: str, is_owner: bool) -> None:
    assert is_of(owner, url) == is_owner


def test_row_that_repeats_another_is_out_by_its_id_only() -> None:
    taken_out = Takedowns([{"id": "a", "images": ["x"], "reason": "repeated images", "source": {}}])
    assert taken_out.reason("a", ["x"], None, []) is not None
    assert taken_out.reason("b", ["x"], None, []) is None  # the one that was kept


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--owner", "jane"], "expected HOST or HOST/PATH"),
        (["--images", "digests.txt"], "is no SHA-256"),
        (["--owner", "a.com", "--url_pattern", "x"], "one of them"),
        (["--images", "missing.png"], "missing.png"),
    ],
)
def test_wrong_flags_change_nothing(
    flags: list[str], said: str, tmp_path: Path, make_dialogue: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(dialogues(make_dialogue), tmp_path / "set")
    (tmp_path / "digests.txt").write_text("abc\n")
    flags = [str(tmp_path / flag) if flag.endswith((".txt", ".png")) else flag for flag in flags]
    assert main(["remove", str(tmp_path / "set"), *flags]) == 2
    assert said in capsys.readouterr().err
    assert len(read_ids(tmp_path / "set")) == 8
    assert not private_log(tmp_path / "set").exists()


def holds(folder: Path, *needles: bytes) -> list[str]:
    """Files of a folder in which one of the needles is, as bytes or in JSON."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path.name for path in files if any(needle in path.read_bytes() for needle in needles)]


def test_purge_deletes_image_text_and_request_and_the_next_build_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out, work = tmp_path / "source", tmp_path / "set", tmp_path / "set.work"
    source.mkdir()
    for number in range(4):
        (source / f"{number}.png").write_bytes(image_bytes(number))
        (source / f"{number}.txt").write_text(f"This is the field of Jane{number}. It has a long fence.")
    words = ["build", "--source", str(source), "--out", str(out), "--writer", "openai", "--filter", "none"]
    needles = (b"Jane2", image_bytes(2)[-200:], hashlib.sha256(image_bytes(2)).hexdigest().encode())
    with FakeChatServer(good_reply) as server:
        words += ["--endpoint", f"{server.base_url}#gpt-4o", "--max_cost_usd", "9"]
        assert main(words) == 0
        assert {"00000.parquet", "ledger.sqlite"} <= set(holds(work, *needles))
        spent = spent_usd(work / "ledger.sqlite")
        (tmp_path / "found.png").write_bytes(image_bytes(2))
        for left in ("1_fetched/00000.pickle", "4_published/part-00000.arrow", "3_scores/00000.broken.json"):
            (work / left).parent.mkdir(exist_ok=True)
            (work / left).write_bytes(needles[0])  # of ranks that were killed, and a rule that quotes a text
        assert main(["remove", str(out), "--images", str(tmp_path / "found.png"), "--purge"]) == 0
        said = capsys.readouterr().out
        assert "1 rows removed" in said
        assert "purged: 1 paid requests" in said
        assert holds(work, *needles) == []
        assert holds(out, needles[0], needles[1]) == []
        assert spent_usd(work / "ledger.sqlite") == pytest.approx(spent)
        num_asked = len(server.requests)
        assert main(words) == 0
        assert len(server.requests) == num_asked
    assert len(read_ids(out)) == 3
    assert pq.read_table(work / "1_candidates/00000.parquet", columns=["id"]).num_rows == 3
    assert len(read_log(private_log(out))) >= 2
    assert main(["remove", str(out), "--images", str(tmp_path / "found.png"), "--purge"]) == 1  # nothing is left


def spent_usd(ledger: Path) -> float:
    with sqlite3.connect(ledger) as db:
        return float(db.execute("SELECT TOTAL(usd) FROM paid").fetchone()[0])


def test_removal_holds_in_a_build_whose_images_are_encoded_anew(tmp_path: Path) -> None:
    """Files of a folder have no address, and `--reencode` gives an image other bytes and its row another id."""
    source, out = tmp_path / "source", tmp_path / "set"
    source.mkdir()
    for number in range(4):
        cells = np.random.default_rng(number).integers(0, 1 << 16, (8, 8), dtype=np.uint16)
        PillowImage.fromarray(cells.repeat(8, 0).repeat(8, 1)).save(source / f"{number}.png")
        (source / f"{number}.txt").write_text(f"This is the field number {number} in spring. It has a long fence.")
    words = ["build", "--source", str(source), "--output_dir", str(out), "--writer", "offline", "--filter", "none"]
    assert main(words) == 0
    ids = sorted(read_ids(out))
    (tmp_path / "ids").write_bytes(f"{ids[0]}\r\n\ufeff{ids[1]}\r\n\r\n".encode())  # two files of Windows, joined
    assert main(["remove", str(out), "--ids", str(tmp_path / "ids")]) == 0
    assert read_ids(out) == set(ids[2:])
    assert main([*words, "--reencode"]) == 0
    assert len(read_ids(out)) == 2
    assert not read_ids(out) & set(ids), "the images are other files"
    assert main(words) == 0
    assert read_ids(out) == set(ids[2:])
