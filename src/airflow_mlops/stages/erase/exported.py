"""Files that people exported: the rows leave them too, if the files are named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import ErasureRefused
from airflow_mlops.stages.erase.subject import DataSubject
from airflow_mlops.stores.tables import erasure, exports

if TYPE_CHECKING:
    import pyarrow as pa


def count(path: str, theirs: DataSubject, columns: pa.Schema) -> int:
    """Return how many of the rows a file holds.

    :param path: a file of ``airflow mlops datasets export`` or ``quarantine export``.
    :param columns: columns of the dataset, with their types.
    :raises ErasureRefused: if it is no such file, or lacks the columns by which rows are found.
    """
    whose = _anywhere(theirs)
    _, batches = _opened(path, columns)
    return sum(erasure.count(batch, whose) for batch in _checked(path, batches, whose))


def take_out(path: str, theirs: DataSubject, columns: pa.Schema) -> None:
    """Write a file again without the rows; until it is complete, the former one stays."""
    import pyarrow as pa

    whose = _anywhere(theirs)
    schema, batches = _opened(path, columns)
    kept = (erasure.without(batch, whose) for batch in _checked(path, batches, whose))
    exports.write(pa.RecordBatchReader.from_batches(schema, kept), path, overwrite=True)


def _anywhere(theirs: DataSubject) -> tuple[erasure.Rows, ...]:
    # A file need not say of which partition a row is.
    keys = [values for rows in theirs.whose if rows.columns == theirs.key for values in rows.combinations]
    return (theirs.chosen, erasure.Rows(theirs.key, frozenset(keys), timezone=theirs.chosen.timezone))


def _checked(
    path: str, batches: Iterator[pa.RecordBatch], whose: Sequence[erasure.Rows]
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    try:
        for batch in batches:
            if not any(set(rows.columns) <= set(batch.schema.names) for rows in whose):
                raise ErasureRefused(f"{path} has no column by which the rows are found; delete it.")
            yield batch
    except pa.ArrowException as error:
        raise ErasureRefused(
            f"{path} cannot be read as an export of this dataset: {error}; delete it."
        ) from error


def _opened(path: str, columns: pa.Schema) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    import pyarrow as pa
    from pyarrow import csv, json, parquet

    kind = next((ending for ending in exports.FORMATS if path.endswith(ending)), None)
    if kind is None or not Path(path).is_file():
        raise ErasureRefused(f"{path} is no file that ends in one of {', '.join(exports.FORMATS)}.")
    try:
        if kind == ".parquet":
            file = parquet.ParquetFile(path)
            return file.schema_arrow, file.iter_batches()
        if kind.startswith(".csv"):
            types = csv.ConvertOptions(
                column_types=columns, strings_can_be_null=True, quoted_strings_can_be_null=False
            )
            reader = csv.open_csv(path, convert_options=types)
        else:
            reader = json.open_json(path, parse_options=json.ParseOptions(explicit_schema=columns))
    except pa.ArrowException as error:
        raise ErasureRefused(
            f"{path} cannot be read as an export of this dataset: {error}; delete it."
        ) from error
    return reader.schema, iter(reader)
