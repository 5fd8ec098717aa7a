"""Load published rows as dialogues from a local folder or the Hub, whole or streamed.

Images stay undecoded bytes, so that a pass over the texts decodes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.record.dialogue import Dialogue, InvalidDialogue
from mmcr_dataset.record.row import from_row


def read_shards(folder: Path, columns: list[str] | None = None) -> Iterator[tuple[Path, pa.Table]]:
    """The Parquet shards below a folder, sorted by name, with the given columns (None for all)."""
    for path in sorted(folder.rglob("*.parquet")):
        yield path, pq.read_table(path, columns=columns, partitioning=None)


def load_rows(
    name: str,
    config: str | None = None,
    split: str | None = "train",
    revision: str | None = None,
    streaming: bool = False,
) -> Any:  # noqa: ANN401  (datasets is not typed)
    """Load rows with `datasets`, images undecoded.

    Args:
        name: a folder, or an id on the Hub.
        config: `default`, `single` or `multi`; None for the default.
        split: name of the split; None for the only one.
        revision: commit or tag on the Hub.
        streaming: True streams the rows without a copy in the cache.

    Raises:
        ValueError: the folder, configuration or split doesn't exist, or a column is missing.
    """
    from datasets import Image, List, load_dataset

    looks_local = "/" not in name or name.startswith((".", "/")) or name.count("/") > 1
    if looks_local and not Path(name).is_dir():
        raise ValueError(
            f"{name}: no such folder; `make demo` builds a small mmcr-310k and mmcr-bench, `python -m mmcr_dataset "
            f"build --output_dir {name}` one from your documents; or name ORG/DATASET on the Hub"
        )
    rows = load_dataset(name, config, split=split, revision=revision, streaming=streaming)
    if split is None:
        if len(rows) != 1:
            raise ValueError(f"{name}: has the splits {', '.join(rows)}; name one of them")
        (rows,) = rows.values()
    columns = rows.column_names or []
    for column in ("id", "images", "messages"):
        if column not in columns:
            raise ValueError(f"{name}: no column {column!r}, found {columns}; expected a data set in the MMCR row form")
    return rows.cast_column("images", List(Image(decode=False)))


def load_dialogues(
    name: str,
    config: str | None = None,
    split: str | None = "train",
    revision: str | None = None,
    streaming: bool = False,
) -> Iterator[Dialogue]:
    """The dialogues of a data set, in order.

    Args:
        name: a folder, or an id on the Hub.
        config: as in `load_rows`.
        split: as in `load_rows`.
        revision: as in `load_rows`.
        streaming: as in `load_rows`.

    Raises:
        ValueError: as `load_rows`, or a row violates an invariant; the message gives its number.
    """
    for number, row in enumerate(load_rows(name, config, split, revision, streaming)):
        try:
            yield from_row(row)
        except InvalidDialogue as error:
            raise ValueError(f"{name}, split {split or '(only)'}, row {number}: {error}") from error
