"""Any image-text set as a source: columns by name, images in the row or behind an address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Image, List, Value

from mmcr_dataset.__main__ import main
from mmcr_dataset.collect.document import Document
from mmcr_dataset.collect.sources.column_map import ColumnMap
from mmcr_dataset.collect.sources.open_source import open_source
from mmcr_dataset.collect.web.window import held_bytes
from mmcr_dataset.record.load import load_dialogues
from mmcr_dataset.stage.stages import Removed
from tests.conftest import image_bytes

TEXT = "This is the field number {n} in spring. It has a long fence."


def write(path: Path, rows: list[dict[str, Any]], features: Features) -> Path:
    Dataset.from_list(rows, features).to_parquet(str(path))
    return path


def test_captioned_images_of_a_set_become_dialogues_with_their_own_bytes(tmp_path: Path) -> None:
    rows = [
        {
            "caption": TEXT.format(n=n),
            "photo": {"bytes": image_bytes(n), "path": None},
            "page": f"https://a.example/{n}",
        }
        for n in range(5)
    ]
    features = Features({"caption": Value("string"), "photo": Image(), "page": Value("string")})
    path = write(tmp_path / "set.parquet", rows, features)
    words = ["build", "--source", str(path), "--columns", "text=caption,image=photo,url=page", "--filter", "none"]
    assert main([*words, "--output_dir", str(tmp_path / "out"), "--writer", "offline", "--licence", "CC0-1.0"]) == 0
    found = list(load_dialogues(str(tmp_path / "out")))
    assert {one.images[0].data for one in found} == {image_bytes(n) for n in range(5)}
    assert {one.source.document_url for one in found} == {f"https://a.example/{n}" for n in range(5)}
    assert all(one.images[0].url == f"set.parquet row {one.source.document_url[-1]} photo" for one in found)  # type: ignore[index]


def documents(path: Path, columns: str) -> list[Document | Removed]:
    return list(open_source(str(path), None, columns))


def test_lists_alternate_addresses_are_fetched_and_bad_cells_are_named(tmp_path: Path) -> None:
    rows = [
        {"texts": ["one", None, "three"], "images": [None, "https://a.example/1.png", "https://a.example/2.png"]},
        {"texts": ["only"], "images": ["https://a.example/1.png", "https://a.example/2.png"]},
        {"texts": ["x"], "images": ["a.png"]},
        {"texts": None, "images": None},
    ]
    kind = pa.schema([("texts", pa.list_(pa.string())), ("images", pa.list_(pa.string()))])
    pq.write_table(pa.Table.from_pylist(rows, kind), tmp_path / "a.parquet")
    first, second, third, fourth = documents(tmp_path / "a.parquet", "text=texts,image=images")
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    shown = [block if isinstance(block, str) else block.url for block in first.blocks]
    assert shown == ["one", "https://a.example/1.png", "https://a.example/2.png", "three"]
    assert [block if isinstance(block, str) else block.url for block in second.blocks][-1] == "only"
    assert isinstance(third, Removed)
    assert (third.reason, "a.png" in third.detail, "row 2" in third.detail) == ("no_image_in_cell", True, True)
    assert isinstance(fourth, Document)
    assert not fourth.blocks


def test_several_columns_ids_and_images_of_one_row(tmp_path: Path) -> None:
    image = {"bytes": image_bytes(1), "path": "x.png"}
    features = Features(
        {"k": Value("int64"), "title": Value("string"), "body": Value("string"), "left": Image(), "more": List(Image())}
    )
    rows = [{"k": 7, "title": "T", "body": "B", "left": image, "more": [{"bytes": image_bytes(2), "path": None}]}]
    (found,) = documents(write(tmp_path / "a.parquet", rows, features), "text=title+body,image=left+more,id=k")
    assert isinstance(found, Document)
    assert found.id == "7"
    assert [block if isinstance(block, str) else block.data for block in found.blocks] == [
        image_bytes(1),
        image_bytes(2),
        "T",
        "B",
    ]
    assert held_bytes(found) == len(image_bytes(1)) + len(image_bytes(2))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("text=caption", "names no column of images"),
        ("image=photo", "names no column of texts"),
        ("text=caption,image=", "expected each of"),
        ("text=caption,picture=photo", "expected each of"),
        ("text=a,text=b,image=c", "at most once"),
        ("text=a,image=b,url=c+d", "url takes one column"),
    ],
)
def test_map_of_another_form_is_refused(columns: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ColumnMap.read(columns)


def test_missing_column_and_folder_without_parquet_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"caption": ["a"], "image": [b"b"]}), tmp_path / "a.parquet")
    words = ["--output_dir", str(tmp_path / "out"), "--writer", "offline", "--filter", "none"]
    assert main(["build", "--source", str(tmp_path), "--columns", "text=text,image=image", *words]) == 2
    assert "no column text, found caption, image" in capsys.readouterr().err
    assert main(["build", "--source", "demo", "--columns", "text=text,image=image", *words]) == 2
    assert "goes with Parquet files" in capsys.readouterr().err
    assert main(["build", "--source", str(tmp_path), *words]) == 2
    assert "--columns text=COLUMN" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("A red kite.", "A red kite."),
        ("\ufeffA red kite.".encode(), "A red kite."),
        (1987, "1987"),
        (["A red", "kite."], "A red kite."),
        (b"A red \xff kite.", "text_not_utf8"),
        ({"en": "A red kite."}, "no_text_in_cell"),
        ([["A red kite."]], "no_text_in_cell"),
        (True, "no_text_in_cell"),
    ],
)
def test_a_text_is_what_the_cell_says_and_never_how_python_writes_it(cell: Any, found: str, tmp_path: Path) -> None:
    rows = [{"caption": cell, "photo": {"bytes": image_bytes(1)}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (one,) = documents(tmp_path / "a.parquet", "text=caption,image=photo")
    texts = [] if isinstance(one, Removed) else [block for block in one.blocks if isinstance(block, str)]
    assert (one.reason if isinstance(one, Removed) else " ".join(texts)) == found
