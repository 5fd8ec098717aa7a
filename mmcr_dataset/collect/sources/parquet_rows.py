"""Documents from Parquet files, one row group at a time: OmniCorpus, OBELICS, MMC4 and WIT rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.collect.document import Document, RowReader, document_id, read_row
from mmcr_dataset.collect.draw import seeded_rank
from mmcr_dataset.collect.sources import mmc4, omnicorpus, wit
from mmcr_dataset.collect.sources.locations import SourceFile, hub_errors
from mmcr_dataset.collect.sources.whole_files import shuffled
from mmcr_dataset.record.parquet_memory import rows_a_batch
from mmcr_dataset.stage.stages import Removed

_ROWS_A_BATCH = 256
_FILES_A_DRAW = 2048  # footers read before the first row
_FOOTERS_AT_ONCE = 16


@dataclass(frozen=True)
class RowForm:
    """A row format.

    Attributes:
        name: as in `--source NAME:...`.
        columns: required columns.
        optional: glob patterns of leaf columns to read if present; others are not read.
        to_document: converter (row, place, license) -> document or `Removed`.
        probabilities: names of the classifier scores in its columns.
    """

    name: str
    columns: tuple[str, ...]
    optional: tuple[str, ...]
    to_document: RowReader
    probabilities: frozenset[str] = frozenset()


OMNICORPUS = RowForm(
    "omnicorpus",
    ("images", "texts", "general_metadata"),
    ("metadata.*_prob",),
    omnicorpus.to_document,
    frozenset(omnicorpus.PROBABILITIES),
)
OBELICS = RowForm("obelics", ("images", "texts", "general_metadata", "metadata"), (), omnicorpus.obelics_to_document)
MMC4 = RowForm(
    "mmc4",
    ("text_list", "image_info"),
    ("similarity_matrix*", "url", "valid_image_ids*"),
    mmc4.to_document,
)
WIT = RowForm("wit", ("image_url", "page_url", "page_title"), wit.OPTIONAL, wit.to_document)
WIT_BASE = RowForm("wit", ("image_url", "wit_features"), wit.OPTIONAL, wit.base_to_document)
FORMS = (OMNICORPUS, OBELICS, MMC4, WIT, WIT_BASE)


class ParquetSource:
    """The documents of Parquet files, sorted by file name and row.

    Args:
        spec: value of `--source`, for messages.
        files: the files.
        form: the row format, or its name; None to detect it from the columns.
        licence: license of documents that have none.

    Raises:
        ValueError: the first file is damaged, or lacks a column.
    """

    def __init__(
        self, spec: str, files: Sequence[SourceFile], form: RowForm | str | None, licence: str | None = None
    ) -> None:
        self._files, self._licence = files, licence
        self._form = _form_of(spec, files[0], form)
        self.probabilities = self._form.probabilities

    @property
    def fingerprint(self) -> str:
        """Hash of the names and versions of all files."""
        text = "\n".join([self._form.name, *(f"{file.name} {file.version}" for file in self._files)])
        return hashlib.sha256(text.encode()).hexdigest()

    def __iter__(self) -> Iterator[Document | Removed]:
        """Yield the documents."""
        for part in self.parts(None):
            yield from part

    def parts(self, seed: int | None) -> Iterator[RowGroup]:
        """The row groups: in order, or shuffled by a seed over all files (2,048 files at a time)."""
        remaining = iter(shuffled(self._files, seed))
        while some := list(islice(remaining, _FILES_A_DRAW if seed is not None else 1)):
            with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
                sizes = list(pool.map(self._read_sizes, some))
            order = [(at, group) for at, counts in enumerate(sizes) for group in range(len(counts))]
            if seed is not None:
                order.sort(key=lambda place: seeded_rank(seed, some[place[0]].name, place[1]))
            for at, group in order:
                first = sum(sizes[at][:group])
                yield RowGroup(some[at], group, sizes[at][group], first, self._form, self._licence)

    def _read_sizes(self, file: SourceFile) -> list[int]:
        with open_parquet(file) as parquet:
            _check_columns(file, parquet.schema_arrow.names, self._form)
            return [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]


@dataclass(frozen=True)
class RowGroup:
    """One row group as a part of a source; its rows are read in batches."""

    file: SourceFile
    group: int
    num_rows: int | None
    first_row: int
    form: RowForm
    licence: str | None

    @property
    def name(self) -> str:
        """File and number of the row group."""
        return f"{self.file.name}#{self.group}"

    def __iter__(self) -> Iterator[Document | Removed]:
        """Yield its documents.

        Raises:
            ValueError: the row group can't be read.
        """
        number = self.first_row
        with open_parquet(self.file) as parquet:
            leaves = [parquet.schema.column(index).path for index in range(len(parquet.schema))]
            also = [leaf for leaf in leaves if any(fnmatchcase(leaf, pattern) for pattern in self.form.optional)]
            columns = [*self.form.columns, *also]
            try:
                size = rows_a_batch(parquet, _ROWS_A_BATCH)
                for batch in parquet.iter_batches(size, row_groups=[self.group], columns=columns):
                    for at in range(batch.num_rows):
                        yield self._to_document(batch.slice(at, 1), f"{self.file.name} row {number}")
                        number += 1
            except (pa.ArrowException, *hub_errors()) as error:
                raise ValueError(
                    f"{self.file.name} row group {self.group}, about row {number}: can't be read "
                    f"({_one_line(error)}); {self.file.remedy}"
                ) from error

    def _to_document(self, one: pa.RecordBatch, place: str) -> Document | Removed:
        try:
            (row,) = one.to_pylist()
        except UnicodeDecodeError as error:
            return Removed(document_id(place), "text_not_utf8", f"{place}: {error}")
        return read_row(self.form.to_document, row, place, self.licence)


def open_parquet(file: SourceFile) -> pq.ParquetFile:
    """Open a Parquet file; each column chunk is read by one range request.

    Raises:
        ValueError: it is not a readable Parquet file.
    """
    opened = file.open()
    try:
        return pq.ParquetFile(opened, pre_buffer=True)
    except (pa.ArrowException, *hub_errors()) as error:
        opened.close()
        raise ValueError(f"{file.name}: not a readable Parquet file ({_one_line(error)}); {file.remedy}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _form_of(spec: str, file: SourceFile, wanted_form: RowForm | str | None) -> RowForm:
    with open_parquet(file) as parquet:
        schema = parquet.schema_arrow
    if isinstance(wanted_form, str):
        forms = [form for form in FORMS if form.name == wanted_form]
        wanted_form = next((form for form in forms if set(form.columns) <= set(schema.names)), forms[0])
    if wanted_form is not None:
        form = wanted_form
        _check_columns(file, schema.names, form)
        return form
    for form in (MMC4, WIT, WIT_BASE, OMNICORPUS):
        if set(form.columns) <= set(schema.names):
            as_json = form is OMNICORPUS and pa.types.is_string(schema.field("general_metadata").type)
            return OBELICS if as_json else form
    wanted = "; ".join(f"{form.name}: {', '.join(form.columns)}" for form in FORMS)
    raise ValueError(
        f"--source {spec}: {file.name} has the columns {', '.join(schema.names)}; expected {wanted}; name the "
        "columns of another image-text set with --columns text=COLUMN,image=COLUMN"
    )


def _check_columns(file: SourceFile, names: Sequence[str], form: RowForm) -> None:
    missing = [column for column in form.columns if column not in names]
    if missing:
        raise ValueError(
            f"{file.name}: no column {', '.join(missing)}, found {', '.join(names)}; expected {form.name} rows "
            f"({', '.join(form.columns)}); exclude other files with a narrower --source"
        )
