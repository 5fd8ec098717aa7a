"""`--source`: what each kind of rows becomes, how the kind is seen, what damaged and hostile files end as."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmcr_dataset.build_settings import BuildSettings
from mmcr_dataset.collect.document import Candidate, Document, ImageAt, to_candidate
from mmcr_dataset.collect.sources import mmc4, omnicorpus
from mmcr_dataset.collect.sources.open_source import open_source
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.pipeline import build
from mmcr_dataset.record.dialogue import Source
from mmcr_dataset.stage.stages import Removed
from tests.conftest import image_bytes
from tests.local_web import fetch_images

A, B = "http://a.example/1.jpg", "http://a.example/2.jpg"


def test_omnicorpus_row_tells_its_probabilities_with_the_worst_image() -> None:
    row = {
        "general_metadata": {"id": "d", "url": "http://p", "non_advertisement_prob": 0.75, "politics_prob": None},
        "images": [A, None, B],
        "texts": [None, "Words.", None],
        "metadata": [{"unsafe_prob": 0.1, "aesthetic_prob": 5.0}, None, {"unsafe_prob": 0.4, "aesthetic_prob": None}],
    }
    document = omnicorpus.to_document(row, "x")
    assert isinstance(document, Document)
    assert document.probabilities == {"advertisement": 0.25, "unsafe": 0.4, "aesthetic": 5.0}
    assert document.source == Source("http://p")


def obelics_row(general: object = '{"url": "http://page"}', metadata: object = "[null, null]") -> dict[str, Any]:
    return {"images": [A, None], "texts": [None, "Words."], "general_metadata": general, "metadata": metadata}


def test_obelics_row_has_its_page_from_either_json() -> None:
    document = omnicorpus.obelics_to_document(obelics_row(), "x")
    assert isinstance(document, Document)
    assert document.blocks == (ImageAt(url=A), "Words.")
    assert document.source.document_url == "http://page"
    other = omnicorpus.obelics_to_document(obelics_row(None, '[{"document_url": "http://other"}, null]'), "x")
    assert isinstance(other, Document)
    assert other.source.document_url == "http://other"
    assert other.id.startswith("made-")


@pytest.mark.parametrize(("general", "metadata"), [("{", "[]"), ("[]", "[]"), ("{}", "{}"), (7, "[]"), ("{}", b"\xff")])
def test_obelics_broken_json_is_a_reason(general: object, metadata: object) -> None:
    removed = omnicorpus.obelics_to_document(obelics_row(general, metadata), "f.parquet row 3")
    assert isinstance(removed, Removed)
    assert removed.reason == "metadata_not_json"
    assert "f.parquet row 3" in removed.detail


def mmc4_row(*images: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"url": "http://page", "text_list": ["One.", "Two.", "Three."], "image_info": list(images)} | more


def test_mmc4_images_stand_before_their_sentences() -> None:
    row = mmc4_row({"raw_url": A, "matched_text_index": 2}, {"raw_url": B, "matched_text_index": 0})
    document = mmc4.to_document(row, "x")
    assert isinstance(document, Document)
    assert document.blocks == (ImageAt(url=B), "One.", "Two.", ImageAt(url=A), "Three.")


def test_mmc4_without_matches_the_similarities_tell() -> None:
    row = mmc4_row({"image_url": A}, {"image_url": B}, similarity_matrix=[[0.1, 0.9, 0.2], [0.2, 0.8, 0.1]])
    document = mmc4.to_document(row, "x")
    assert isinstance(document, Document)
    assert document.blocks == (ImageAt(url=B), "One.", ImageAt(url=A), "Two.", "Three.")
    fewer = mmc4.to_document(row | {"valid_image_ids": [1]}, "x")
    assert isinstance(fewer, Document)
    assert fewer.blocks == ("One.", ImageAt(url=B), "Two.", "Three.")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"url": "x"}, "null_columns"),
        (mmc4_row({"raw_url": A, "matched_text_index": 3}), "bad_text_index"),
        (mmc4_row({"raw_url": A, "matched_text_index": -1}), "bad_text_index"),
        (mmc4_row({"raw_url": A, "matched_text_index": "1"}), "bad_text_index"),
        (mmc4_row({"matched_text_index": 1}), "unreadable_image_info"),
        (mmc4_row({"raw_url": A}), "unreadable_image_info"),
        (mmc4_row({"raw_url": A}, similarity_matrix=[[]]), "unreadable_image_info"),
        (mmc4_row({"raw_url": A}, similarity_matrix="no"), "unreadable_image_info"),
        (mmc4_row("no"), "unreadable_image_info"),  # type: ignore[arg-type]
        (mmc4_row({"raw_url": A, "matched_text_index": 1}, valid_image_ids=7), "unreadable_image_info"),
    ],
)
def test_mmc4_damaged_document_has_a_reason(row: dict[str, Any], reason: str) -> None:
    removed = mmc4.to_document(row, "f.jsonl line 3")
    assert isinstance(removed, Removed)
    assert removed.reason == reason
    assert "f.jsonl line 3" in removed.detail


LINES = b"".join(
    json.dumps(mmc4_row({"raw_url": f"{A}{n}", "matched_text_index": 0}, url=f"http://page/{n}")).encode() + b"\n"
    for n in range(3)
)


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"{name}.jsonl", data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("docs.jsonl", LINES, ""),
        ("docs.jsonl.gz", gzip.compress(LINES, mtime=0), ""),
        ("docs_shard_0_v2.jsonl.zip", zipped(docs=LINES), "mmc4:"),
        ("docs.zip", zipped(a=LINES[: LINES.index(b"\n") + 1], b=LINES[LINES.index(b"\n") + 1 :]), "mmc4:"),
    ],
)
def test_mmc4_files_of_each_ending_are_read(tmp_path: Path, name: str, data: bytes, kind: str) -> None:
    (tmp_path / name).write_bytes(data)
    for place in (tmp_path, tmp_path / name):
        documents = list(open_source(f"{kind}{place}"))
        assert [document.source.document_url for document in documents if isinstance(document, Document)] == [
            f"http://page/{n}" for n in range(3)
        ]


def test_mmc4_bad_lines_are_counted_and_damaged_archives_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmc4, "_LINE_BYTES_MAX", 1000)
    long = b'{"text_list": ["' + b"a" * 5000 + b'"]}\n'
    (tmp_path / "a.jsonl").write_bytes(b"{broken\n[1]\n" + long + b"[" * 900 + b"\n\xff\xfe\n" + LINES)
    items = list(open_source(str(tmp_path)))
    reasons = [item.reason for item in items if isinstance(item, Removed)]
    assert reasons == ["not_json", "not_json", "too_long_line", "not_json", "not_json"]
    assert len(items) == 8
    for name, data in (("b.jsonl.gz", gzip.compress(LINES)[:-20]), ("c.zip", zipped(a=LINES)[:-30]), ("d.zip", b"PK")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=rf"{name} after line \d+: .*fetch it again"):
            list(open_source(f"mmc4:{tmp_path / name}"))


def tar_of(
    path: Path, members: list[tuple[str, bytes]], change: Callable[[tarfile.TarInfo], None] | None = None
) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if change:
                change(info)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_webdataset_documents_read_their_images_inside_the_archive(tmp_path: Path) -> None:
    import asyncio

    images = [image_bytes(n) for n in range(4)]
    tar_of(
        tmp_path / "shard-000.tar",
        [
            ("000/one.png", images[0]),
            ("000/one.txt", b"\xef\xbb\xbfThe first one."),
            ("000/two.0.png", images[1]),
            ("000/two.1.PNG", images[2]),
            ("000/two.json", json.dumps({"caption": "Two of them.", "url": "http://p", "license": "CC0"}).encode()),
            ("README", b"not a document"),
            ("three.jpg", images[3]),
            ("three.cls", b"7"),
        ],
    )
    items = list(open_source(str(tmp_path)))
    one, two, readme, three = items
    assert [item.id for item in items] == ["000/one", "000/two", "README", "three"]
    assert isinstance(one, Document)
    assert isinstance(two, Document)
    assert isinstance(readme, Document)
    assert isinstance(three, Document)
    assert one.blocks[1:] == ("The first one.",)
    assert two.blocks[2:] == ("Two of them.",)
    assert two.source == Source("http://p", "CC0")
    data = asyncio.run(fetch_images([*one.images, *two.images, *three.images]))
    assert list(data.values()) == images
    candidate = to_candidate(two, data)
    assert isinstance(candidate, Candidate)
    assert [image.data for image in candidate.images] == images[1:3]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_webdataset_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    def change(info: tarfile.TarInfo) -> None:
        if info.name == "bad.png":
            info.type, info.linkname, info.size = kind, "/etc/passwd", 0

    tar_of(tmp_path / "a.tar", [("bad.png", b""), ("bad.txt", b"Text."), ("../../good.png", b"x")], change)
    bad, good = open_source(f"webdataset:{tmp_path}")
    assert isinstance(bad, Removed)
    assert bad.reason == "unsafe_member"
    assert isinstance(good, Document)
    assert good.images[0].path == tmp_path / "a.tar"  # a name that climbs out of the archive leads nowhere


def test_webdataset_hostile_texts_and_sizes_are_counted(tmp_path: Path) -> None:
    tar_of(
        tmp_path / "a.tar",
        [
            ("long.txt", b"a" * 1_000_001),
            ("latin.txt", b"\xe9t\xe9"),
            ("broken.json", b"{"),
            ("list.json", b"[]"),
            *((f"many.{n}.png", b"x") for n in range(101)),
            ("rows.json", json.dumps(mmc4_row({"raw_url": A, "matched_text_index": 0})).encode()),
        ],
    )
    items = list(open_source(str(tmp_path / "a.tar")))
    assert [item.reason for item in items if isinstance(item, Removed)] == [
        "too_long_text",
        "text_not_utf8",
        "not_json",
        "not_json",
        "unsafe_member",
    ]
    assert isinstance(items[-1], Document)


@pytest.mark.parametrize("data", [b"", b"not a tar", gzip.compress(b"a" * 2000, mtime=0), b"\0" * 300])
def test_webdataset_what_is_no_archive_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.tar: not a readable tar archive"):
        list(open_source(str(tmp_path / "a.tar")))


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_parquet_columns_tell_the_kind(tmp_path: Path) -> None:
    parquet(tmp_path / "o.parquet", [obelics_row()])
    parquet(tmp_path / "s.parquet", [mmc4_row({"image_url": A}, similarity_matrix=[[0.0, 1.0, 0.0]])])
    for spec in (tmp_path / "o.parquet", f"obelics:{tmp_path / 'o.parquet'}"):
        (document,) = open_source(str(spec))
        assert isinstance(document, Document)
        assert document.source.document_url == "http://page"
    for spec in (tmp_path / "s.parquet", f"mmc4:{tmp_path / 's.parquet'}"):
        (document,) = open_source(str(spec))
        assert isinstance(document, Document)
        assert document.blocks == ("One.", ImageAt(url=A), "Two.", "Three.")


def test_open_source_wrong_shape_names_file_columns_expectation_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file or folder; expected demo, a path or hub:ORG/NAME"):
        open_source(f"mmc4:{tmp_path / 'nothing'}")
    with pytest.raises(ValueError, match=r"no file there that ends in \.tar"):
        open_source(f"webdataset:{tmp_path}")
    parquet(tmp_path / "a.parquet", [{"image": A, "text": "x"}])
    with pytest.raises(ValueError, match=r"a\.parquet has the columns image, text; expected omnicorpus: images, texts"):
        open_source(str(tmp_path))
    with pytest.raises(
        ValueError, match=r"a\.parquet: no column text_list, image_info, found image, text; .* --source"
    ):
        open_source(f"mmc4:{tmp_path}")
    parquet(tmp_path / "0.parquet", [obelics_row()])
    with pytest.raises(ValueError, match=r"a\.parquet: no column images, texts"):
        list(open_source(str(tmp_path)))
    parquet(tmp_path / "z.parquet", [obelics_row()] * 2000)
    data = bytearray((tmp_path / "z.parquet").read_bytes())
    data[4:400] = bytes(396)
    (tmp_path / "z.parquet").write_bytes(data)
    with pytest.raises(ValueError, match=r"z\.parquet row group 0, about row 0: can't be read .*fetch it again"):
        list(open_source(str(tmp_path / "z.parquet")))


@pytest.mark.parametrize(
    "row",
    [
        {"images": [A, None], "texts": [None, "x"], "general_metadata": 7},
        {"images": "ab", "texts": [None, "x"], "general_metadata": {"id": "i"}},
        {"images": 5, "texts": 6, "general_metadata": {"id": "i"}},
        {"images": [1, None], "texts": [None, "x"], "general_metadata": {"id": "i"}},
        {"images": [[A], None], "texts": [None, "x"], "general_metadata": {"id": "i"}},
        {"images": [A, None], "texts": [None, 5], "general_metadata": {"id": "i"}},
        {"images": [A], "texts": [None], "general_metadata": {"id": "i", "politics_prob": "high"}},
        {"images": [A], "texts": [None], "general_metadata": {"id": "i"}, "metadata": [{"unsafe_prob": "no"}]},
    ],
)
def test_rows_of_other_types_are_counted_not_fatal(tmp_path: Path, row: dict[str, Any]) -> None:
    parquet(tmp_path / "a.parquet", [row, row])
    tar_of(tmp_path / "a.tar", [("a.json", json.dumps(row).encode())])
    for spec, count in ((f"omnicorpus:{tmp_path}", 2), (f"webdataset:{tmp_path}", 1)):
        items = list(open_source(spec))
        assert [item.reason for item in items if isinstance(item, Removed)] == ["unreadable_row"] * count


def test_parquet_row_of_broken_utf_8_is_counted_and_its_neighbours_stay(tmp_path: Path) -> None:
    texts = [b"One.", b"\xff\xfe", b"Three."]
    rows = [{"images": [A, None], "texts": [None, text], "general_metadata": {"id": "i"}} for text in texts]
    table = pa.Table.from_pylist(rows)
    text_type = pa.list_(pa.string())
    broken = pa.Array.from_buffers(
        text_type,
        3,
        table["texts"].chunk(0).buffers()[:2],
        children=[pa.Array.from_buffers(pa.string(), 6, table["texts"].chunk(0).flatten().buffers())],
    )
    pq.write_table(table.set_column(table.schema.get_field_index("texts"), "texts", broken), tmp_path / "a.parquet")
    good, bad, other = open_source(str(tmp_path))
    assert isinstance(good, Document)
    assert isinstance(bad, Removed)
    assert bad.reason == "text_not_utf8"
    assert isinstance(other, Document)


def test_build_names_that_are_no_text_do_not_stop_it(tmp_path: Path) -> None:
    text = b"This is the old lighthouse on the small island in the sea."
    odd = {"caption": text.decode(), "url": "http://a.example/\ud800"}
    members = [("a\udcff.png", image_bytes(1)), ("a\udcff.json", json.dumps(odd).encode()), ("b\udcfe.txt", text)]
    with tarfile.open(tmp_path / "a.tar", "w", errors="surrogateescape") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    settings = BuildSettings(
        f"webdataset:{tmp_path / 'a.tar'}", tmp_path / "set", WriterSettings("offline"), matcher="none"
    )
    counts = build(settings)
    assert (counts[0].num_kept, counts[0].removed) == (1, {"no_image": 1})


def test_open_source_a_colon_in_a_path_is_no_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mmc4:odd").mkdir()
    (tmp_path / "mmc4:odd" / "a.png").write_bytes(image_bytes(1))
    (document,) = open_source("mmc4:odd")
    assert document.id == "a.png"


def test_build_from_an_archive_keeps_bytes_and_counts_what_is_no_image(tmp_path: Path) -> None:
    text = b"This is the old lighthouse on the small island in the sea."
    tar_of(tmp_path / "a.tar", [("a.png", image_bytes(1)), ("a.txt", text), ("b.png", b"<html>"), ("b.txt", text)])
    settings = BuildSettings(
        f"webdataset:{tmp_path / 'a.tar'}", tmp_path / "set", WriterSettings("offline"), matcher="none"
    )
    counts = build(settings)
    assert (counts[0].num_kept, counts[0].removed) == (1, {"not_an_image": 1})
