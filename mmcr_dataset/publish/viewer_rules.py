"""What the Hub's viewer shows of a data set, as rules on its files: one function each, with its source.

Source of all: huggingface/dataset-viewer (August 2026); paths below are of that repository.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from mmcr_dataset.publish.page_index import read_pages

PAGE_ROWS = 100
PAGE_BYTES_MAX = 300_000_000
SEARCH_BYTES_MAX = 5_000_000_000
COLUMNS_MAX = 1_000
NAME_CHARACTERS_MAX = 500
CONFIGS_MAX = 4_000
SPLITS_MAX = 30
FILES_A_FOLDER_MAX = 10_000
FIRST_ROWS_BYTES_MAX = 200_000
FIRST_ROWS_MIN = 10
CELL_BYTES_MIN = 100
_SHOWN = frozenset(
    {"Value", "ClassLabel", "Array2D", "Array3D", "Array4D", "Array5D", "Translation", "TranslationVariableLanguages"}
    | {"Image", "Audio", "Video", "Pdf", "Json"}
)


class Broken(NamedTuple):
    """A rule that is broken: whether nothing is shown then, the place, and what is wrong."""

    is_error: bool
    place: str
    text: str


def check_page(path: Path) -> Iterator[Broken]:
    """A page of 100 rows may read 300 MB of a row group, and reads whole row groups without a page index.

    Source: ROWS_INDEX_MAX_ARROW_DATA_IN_MEMORY in libs/libcommon/src/libcommon/config.py, the check of row groups in
    libs/libcommon/src/libcommon/parquet_utils.py, and the page reader of libs/libviewer.
    """
    metadata = pq.read_metadata(path)
    largest, is_indexed = 0, True
    for number, columns in enumerate(read_pages(path)):
        num_rows = metadata.row_group(number).num_rows
        is_indexed = is_indexed and all(column.pages is not None for column in columns)
        for start in range(0, max(1, num_rows), PAGE_ROWS):
            largest = max(largest, sum(c.read_bytes(start, start + PAGE_ROWS, num_rows) for c in columns))
    if largest > PAGE_BYTES_MAX:
        yield Broken(
            True,
            path.name,
            f"a page of {PAGE_ROWS} rows reads {largest / 1e6:.0f} MB, limit 300; write smaller row groups or an index",
        )
    elif any(metadata.row_group(number).num_rows > PAGE_ROWS for number in range(metadata.num_row_groups)):
        yield Broken(False, path.name, f"row groups of more than {PAGE_ROWS} rows make the viewer slow")
    if not is_indexed:
        yield Broken(False, path.name, "no page index: the viewer reads whole row groups")


def check_search(config: str, paths: Sequence[Path]) -> Iterator[Broken]:
    """Search, filters and statistics cover the first 5 GB of a split.

    Source: the sizes of the index of a split and of converted files in services/worker/src/worker/config.py.
    """
    groups = (pq.read_metadata(path) for path in paths)
    size = sum(one.row_group(number).total_byte_size for one in groups for number in range(one.num_row_groups))
    if size > SEARCH_BYTES_MAX:
        yield Broken(
            False, config, f"{size / 1e9:.1f} GB: the viewer's search and statistics cover the first 5 GB only"
        )


def check_names(configs: Mapping[str, Sequence[str]], columns: Sequence[str]) -> Iterator[Broken]:
    """At most 4,000 configurations, 30 splits in each, 1,000 columns, and names of 500 characters.

    Source: the numbers of configurations, splits and columns (CONFIG_NAMES_MAX_NUMBER, FIRST_ROWS_COLUMNS_MAX_NUMBER)
    in services/worker/src/worker/config.py.

    Args:
        configs: names of the splits of each configuration.
        columns: names of the columns.
    """
    if len(configs) > CONFIGS_MAX:
        yield Broken(True, "README.md", f"{len(configs)} configurations, limit {CONFIGS_MAX}")
    for config, splits in configs.items():
        if len(splits) > SPLITS_MAX:
            yield Broken(True, "README.md", f"config {config}: {len(splits)} splits, limit {SPLITS_MAX}")
    if len(columns) > COLUMNS_MAX:
        yield Broken(True, "columns", f"{len(columns)} columns, limit {COLUMNS_MAX}")
    for name in columns:
        if len(name) > NAME_CHARACTERS_MAX:
            yield Broken(True, "columns", f"{name[:40]}...: a name of {len(name)} characters, limit 500")


def check_schemas(config: str, paths: Sequence[Path]) -> Iterator[Broken]:
    """All shards of a split have one schema.

    Source: SchemaMismatchError in libs/libcommon/src/libcommon/parquet_utils.py.
    """
    first = pq.read_schema(paths[0]).remove_metadata()
    for path in paths[1:]:
        if not pq.read_schema(path).remove_metadata().equals(first):
            yield Broken(True, path.name, f"another schema than {paths[0].name} of the config {config}")


def check_features(features: Mapping[str, Any]) -> Iterator[Broken]:
    """Every column is of a type that the viewer knows, lists and structs of such types included.

    Source: `get_cell_value` in libs/libcommon/src/libcommon/viewer_utils/features.py.

    Args:
        features: name -> feature of `datasets`.
    """
    for name, feature in features.items():
        for part in _leaves(feature):
            if type(part).__name__ not in _SHOWN:
                yield Broken(True, "columns", f"{name}: {type(part).__name__}, which the viewer doesn't show")


def check_files(folder: Path) -> Iterator[Broken]:
    """The Hub takes 10,000 files a folder.

    Source: the Hub's "repository limitations and recommendations".
    """
    for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        count = sum(path.is_file() for path in place.iterdir())
        if count > FILES_A_FOLDER_MAX:
            yield Broken(True, str(place.name), f"{count:,} files, the Hub takes {FILES_A_FOLDER_MAX:,} a folder")


def check_first_rows(config: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[Broken]:
    """The preview has at most 200 kB for its first 10 rows; beyond it large cells are cut, lists of images too.

    Source: `create_first_rows_response` and `create_truncated_row_items` in libs/libcommon/src/libcommon/viewer_utils,
    and the defaults of `compute_init_responses` in services/worker/src/worker/job_runners/dataset/init.py.

    Args:
        config: for the message.
        rows: the first rows, with images as they were loaded.
    """
    sizes = [{name: _cell_bytes(cell) for name, cell in row.items()} for row in islice(rows, FIRST_ROWS_MIN)]
    total = sum(sum(row.values()) for row in sizes)
    for row in reversed(sizes):
        if total <= FIRST_ROWS_BYTES_MAX:
            return
        if row.get("images", 0) > CELL_BYTES_MIN:
            yield Broken(
                False,
                f"config {config}",
                f"its first {len(sizes)} rows have {sum(sum(one.values()) for one in sizes) / 1e3:.0f} kB of text, the "
                "preview shows 200: images of the last ones are left out there, not on the pages behind it",
            )
            return
        total -= sum(max(0, size - CELL_BYTES_MIN) for size in row.values())


def _leaves(feature: Any) -> Iterator[Any]:  # noqa: ANN401
    if isinstance(feature, dict):
        for part in feature.values():
            yield from _leaves(part)
    elif type(feature).__name__ in ("List", "LargeList", "Sequence"):
        yield from _leaves(feature.feature)
    else:
        yield feature


def _cell_bytes(cell: Any) -> int:  # noqa: ANN401
    """Size of a cell in the viewer's answer, in which an image is an address of about 250 characters."""
    return len(json.dumps(cell, default=lambda image: "x" * 250).encode())
