"""How many rows of a Parquet file fit in memory: a small file may hold one large value a million times."""

from __future__ import annotations

import pyarrow.parquet as pq

_BATCH_BYTES_MAX = 512_000_000
_COLUMN_BYTES_MAX = 8_000_000_000


def rows_a_batch(file: pq.ParquetFile, most: int) -> int:
    """Rows to read at once, at most `most`, so that a batch fits in memory whatever its values are.

    A value is no larger than its column in its row group, which the footer tells. Plain values of a batch are together
    no larger than that; one value of a dictionary may stand in every row.

    Raises:
        ValueError: a column of a row group unpacks to more than is read.
    """
    largest = repeated = 0
    for group in range(file.metadata.num_row_groups):
        of_group = file.metadata.row_group(group)
        for column in range(of_group.num_columns):
            chunk = of_group.column(column)
            if chunk.physical_type not in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"):
                continue
            largest = max(largest, chunk.total_uncompressed_size)
            if chunk.has_dictionary_page or {"RLE_DICTIONARY", "PLAIN_DICTIONARY"} & set(chunk.encodings):
                repeated = max(repeated, chunk.total_uncompressed_size)
    if largest > _COLUMN_BYTES_MAX:
        raise ValueError(f"a column unpacks to {largest:,} bytes a row group, at most {_COLUMN_BYTES_MAX:,} are read")
    return max(1, min(most, _BATCH_BYTES_MAX // repeated if repeated else most))
