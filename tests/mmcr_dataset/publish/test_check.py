"""What the Hub's viewer, TRL and Croissant's readers do with a set, rule by rule.

The rules and their limits are those of huggingface/dataset-viewer, named in mmcr_dataset/publish/viewer_rules.py.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Array2D, Image, LargeList, List, Value
from PIL import Image as PillowImage

from mmcr_dataset.__main__ import main
from mmcr_dataset.publish import viewer_rules as rules
from mmcr_dataset.publish.card import refresh_card
from mmcr_dataset.publish.check import check_dataset
from mmcr_dataset.publish.check_trl import open_collator
from mmcr_dataset.publish.croissant import Description, to_croissant
from mmcr_dataset.publish.page_index import read_pages
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue

Make = Callable[..., Dialogue]


@pytest.fixture
def folder(tmp_path: Path, make_dialogue: Make) -> Path:
    """A set of eight dialogues with one to four images."""
    write_dataset([make_dialogue(1 + n % 4, 4 if n % 4 == 0 else 8, seed=n) for n in range(8)], tmp_path / "set")
    refresh_card(tmp_path / "set")
    return tmp_path / "set"


def texts(broken: Any) -> list[tuple[bool, str]]:
    return [(one.is_error, one.text) for one in broken]


def write_file(path: Path, num_rows: int, row_bytes: int, **options: Any) -> Path:
    """Rows of an id and a value of that many bytes."""
    data = pa.table({"id": [str(n) for n in range(num_rows)], "data": [bytes(row_bytes)] * num_rows})
    pq.write_table(data, path, compression="none", use_dictionary=False, **options)
    return path


def test_page_of_100_rows_may_read_300_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "PAGE_BYTES_MAX", 300_000)  # a thousandth, as are the rows
    whole = write_file(tmp_path / "whole.parquet", 1000, 2_000, row_group_size=1000)
    indexed = write_file(
        tmp_path / "indexed.parquet",
        1000,
        2_000,
        row_group_size=1000,
        write_page_index=True,
        data_page_size=1000,
        max_rows_per_page=50,
    )
    groups = write_file(tmp_path / "groups.parquet", 1000, 2_000, row_group_size=100, write_page_index=True)
    large = write_file(tmp_path / "large.parquet", 100, 4_000, row_group_size=100, write_page_index=True)
    assert [one for one, _ in texts(rules.check_page(whole))] == [True, False]
    assert "reads 2 MB" in texts(rules.check_page(whole))[0][1]
    assert texts(rules.check_page(indexed)) == [(False, "row groups of more than 100 rows make the viewer slow")]
    assert texts(rules.check_page(groups)) == []
    assert [one for one, _ in texts(rules.check_page(large))] == [True]


def test_pages_of_a_file_add_up_to_its_column_chunks(tmp_path: Path) -> None:
    path = write_file(
        tmp_path / "a.parquet", 500, 300, row_group_size=250, write_page_index=True, max_rows_per_page=100
    )
    read = list(read_pages(path))
    assert len(read) == 2
    for columns in read:
        for column in columns:
            assert column.pages is not None
            assert sum(size for size, _ in column.pages) + column.dictionary_bytes == column.size_bytes
            assert [first for _, first in column.pages] == [0, 100, 200]
            assert column.read_bytes(100, 200, 250) == column.pages[1][0] + column.dictionary_bytes
            assert column.read_bytes(0, 250, 250) == column.size_bytes


def test_search_covers_the_first_5_gigabytes_of_all_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write_file(tmp_path / f"{n}.parquet", 100, 1_000) for n in range(3)]
    monkeypatch.setattr(rules, "SEARCH_BYTES_MAX", 250_000)
    assert texts(rules.check_search("single", paths[:2])) == []
    assert [one for one, _ in texts(rules.check_search("single", paths))] == [False]


def test_numbers_of_configurations_splits_columns_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = [f"s{n}" for n in range(31)]
    assert texts(rules.check_names({"a": splits[:30]}, ["c" * 500] * 1000)) == []
    assert texts(rules.check_names({"a": splits}, [])) == [(True, "config a: 31 splits, limit 30")]
    assert len(texts(rules.check_names({str(n): [] for n in range(4001)}, []))) == 1
    assert texts(rules.check_names({}, ["c"] * 1001)) == [(True, "1001 columns, limit 1000")]
    assert "501 characters" in texts(rules.check_names({}, ["c" * 501]))[0][1]
    monkeypatch.setattr(rules, "FILES_A_FOLDER_MAX", 2)
    (tmp_path / "a").mkdir()
    for number in range(3):
        (tmp_path / "a" / str(number)).write_text("x")
    assert texts(rules.check_files(tmp_path)) == [(True, "3 files, the Hub takes 2 a folder")]


def test_shards_of_a_split_have_one_schema(tmp_path: Path) -> None:
    for name, kind in (("a", pa.int8()), ("b", pa.int8()), ("c", pa.int32())):
        pq.write_table(pa.table({"n": pa.array([1], kind)}), tmp_path / f"{name}.parquet")
    a, b, c = sorted(tmp_path.glob("*.parquet"))
    assert texts(rules.check_schemas("single", [a, b])) == []
    assert texts(rules.check_schemas("single", [a, b, c])) == [
        (True, "another schema than a.parquet of the config single")
    ]


def test_features_that_the_viewer_does_not_know_are_named() -> None:
    known = {
        "a": List({"b": Value("int8"), "c": List(Image())}),
        "d": LargeList(Value("string")),
        "e": Array2D((2, 2), "int8"),
    }
    assert texts(rules.check_features(known)) == []
    assert texts(rules.check_features({"x": List({"y": object()})})) == [
        (True, "x: object, which the viewer doesn't show")
    ]


def test_preview_of_ten_rows_has_200_kilobytes() -> None:
    images = [object()]
    assert texts(rules.check_first_rows("single", [{"text": "x" * 15_000, "images": images}] * 12)) == []
    ((is_error, text),) = texts(rules.check_first_rows("single", [{"text": "x" * 25_000, "images": images}] * 12))
    assert not is_error
    assert "25" in text.split(" kB")[0]
    assert texts(rules.check_first_rows("single", [{"text": "x" * 25_000}] * 12)) == []


def test_trl_collator_says_which_row_it_does_not_take(folder: Path) -> None:
    from datasets import load_dataset

    rows = list(load_dataset(str(folder), split="train", streaming=True))
    show_problem = open_collator()
    assert show_problem is not None, "TRL is a dependency of the tests"
    assert show_problem(rows) is None
    several = next(row for row in rows if row["num_images"] == 3)
    assert "does not match" in str(show_problem([several | {"images": several["images"][:2]}]))
    stringly = [{"role": message["role"], "content": "<image>"} for message in several["messages"]]
    assert show_problem([several | {"messages": stringly}]) is not None


def rewrite(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    schema, rows = pq.read_schema(path), pq.read_table(path, partitioning=None).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=100, write_page_index=True)


def test_check_collates_rows_of_every_shard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that decodes, but that a processor can't use, is found by the collator alone."""
    seen: list[str] = []

    def note(rows: Any) -> str | None:
        seen.extend(row["id"] for row in rows)
        return "refused" if any(row["num_images"] == 4 for row in rows) else None

    monkeypatch.setattr("mmcr_dataset.publish.check.open_collator", lambda: note)
    findings = check_dataset(folder)
    assert {row["id"] for row in pq.read_table(next((folder / "multi").glob("*")), columns=["id"]).to_pylist()} <= {
        *seen
    }
    assert findings
    assert all("refused" in finding.text for finding in findings)
    assert all("-4-8" in finding.place for finding in findings)


def test_check_collates_every_row_on_request(
    tmp_path: Path, make_dialogue: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset([replace(make_dialogue(1, 4, seed=n), id=f"{n:032x}") for n in range(40)], tmp_path / "set")
    refresh_card(tmp_path / "set")
    bad = f"{20:032x}"  # neither among the first rows nor the last of its row group

    def note(rows: Any) -> str | None:
        return "refused" if any(row["id"] == bad for row in rows) else None

    monkeypatch.setattr("mmcr_dataset.publish.check.open_collator", lambda: note)
    assert main(["check", str(tmp_path / "set")]) == 0
    shown = capsys.readouterr().out
    assert "the first 16 rows and 16 others of each configuration (--collate all: every row)" in shown
    assert main(["check", str(tmp_path / "set"), "--collate", "all"]) == 1
    shown = capsys.readouterr().out
    assert f"error   config single, row {bad}: refused" in shown
    assert "TRL's collator: all rows" in shown


def test_every_image_is_decoded_also_the_last_of_the_last_row(folder: Path) -> None:
    path = next((folder / "multi").glob("*.parquet"))

    def cut(rows: list[dict[str, Any]]) -> None:
        rows[-1]["images"][-1]["bytes"] = rows[-1]["images"][-1]["bytes"][:-40]

    rewrite(path, cut)
    (finding,) = (one for one in check_dataset(folder) if "image" in one.text)
    number = len(pq.read_table(path, columns=["num_images"], partitioning=None)) - 1
    assert f"multi/{path.name} row {number}" in finding.place
    assert "corrupt_image" in finding.text


def fields_of(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    left = list(record["field"])
    while left:
        field = left.pop()
        found[field["@id"]] = field
        left += field.get("subField", [])
    return found


def test_croissant_fields_are_those_of_the_viewer_and_lead_to_the_values(folder: Path) -> None:
    """`sc:ImageObject`, `isArray`, `arrayShape` and `subField`, as `feature_to_croissant_field` writes them."""
    records = {one["@id"]: one for one in json.loads((folder / "croissant.json").read_text())["recordSet"]}
    assert records["multi_splits"]["data"] == [{"multi_splits/split_name": "train"}]
    fields = fields_of(records["multi"])
    source = {"fileSet": {"@id": "multi-shards"}, "extract": {"column": "images"}, "transform": {"jsonPath": "bytes"}}
    assert fields["multi/images"] == {
        "@type": "cr:Field",
        "@id": "multi/images",
        "dataType": "sc:ImageObject",
        "source": source,
        "isArray": True,
        "arrayShape": "-1",
        "repeated": True,
    }
    assert fields["multi/image_labels"]["arrayShape"] == "-1,-1"
    assert fields["multi/conversations"]["isArray"]
    assert "source" not in fields["multi/conversations"]
    row = pq.read_table(next((folder / "multi").glob("*.parquet")), partitioning=None).slice(0, 1).to_pylist()[0]
    for name, field in fields.items():
        if "column" in field.get("source", {}).get("extract", {}):
            values = follow(row[field["source"]["extract"]["column"]], field["source"].get("transform", []))
            assert values is not None or field["dataType"] != "sc:ImageObject", name
    shown = follow(row["images"], fields["multi/images"]["source"]["transform"])
    assert [PillowImage.open(io.BytesIO(data)).size for data in shown] == [(96, 72)] * row["num_images"]
    assert set(row) - {field.split("/")[1] for field in fields} == {"messages"}
    assert "messages" in records["multi"]["description"]


def follow(value: Any, transforms: Any) -> Any:
    """What JSON paths lead to, in each item of a list."""
    for one in [transforms] if isinstance(transforms, dict) else transforms:
        value = [item[one["jsonPath"]] for item in value] if isinstance(value, list) else value[one["jsonPath"]]
    return value


def test_croissant_of_shards_in_nested_folders_names_each_folder(tmp_path: Path, make_dialogue: Make) -> None:
    for name in ("", "variants"):
        write_dataset([make_dialogue(2, 8, seed=1)], tmp_path / "set" / name)
    records = to_croissant(tmp_path / "set", Description("set", "text"))["recordSet"]
    assert [one["@id"] for one in records] == ["multi_splits", "multi", "variants/multi_splits", "variants/multi"]
    assert "variants/multi/images" in fields_of(records[-1])


def test_mlcroissant_reads_a_rows_images(folder: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    data = mlcroissant.Dataset(str(folder / "croissant.json"))
    for kind in ("single", "multi"):
        row = next(iter(data.records(kind)))
        assert all(image.size == (96, 72) for image in row[f"{kind}/images"])
        assert len(row[f"{kind}/images"]) == row[f"{kind}/num_images"]
        assert row[f"{kind}/conversations"][0][f"{kind}/conversations/from"] == b"human"
