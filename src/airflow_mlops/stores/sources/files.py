"""Files on any fsspec file system: CSV, JSON lines and Parquet, in Arrow batches of one schema."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_mlops.exceptions import SourceChanging, SourceMissing, SourceUnreadable
from airflow_mlops.stores.arrow import wider
from airflow_mlops.stores.sources import csv, json, marking, names, unreadable
from airflow_mlops.stores.sources.batches import ROWS, cast, distinct, settled, unify
from airflow_mlops.stores.sources.bytes import File

if TYPE_CHECKING:
    import pyarrow as pa

_JOIN = {"csv": csv.common, "jsonl": json.common}


def read(
    files: Sequence[File],
    where: str,
    types: Mapping[str, str] | None = None,
    marks: Mapping[str, str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of files, one after the other.

    CSV and JSON lines are read twice: once to find types that hold for all rows, and once for the rows.

    :param where: the name of all files together, for messages.
    :param types: Arrow type of each column that is already published.
    :param marks: mark cells of CSV and JSON that cannot be read as these types, or as those that the layout names, in
        the column that :mod:`~airflow_mlops.stores.sources.unreadable` adds; None refuses such a file.
    :raises SourceUnreadable: if a file cannot be read, the files have different columns, or the layout misspells one.
    :raises SourceChanging: if a file changes while it is read.
    """
    import pyarrow as pa

    before, surveys = [], []
    for file in files:
        with _errors(file.name):
            before.append(file.stamp())
            surveys.append(_survey(file, types or {}, marks))
    schema = settled(
        unify(
            ((file.name, survey.schema) for file, survey in zip(files, surveys, strict=True)),
            where,
            _JOIN.get(files[0].format, wider),
        ),
        {**(types or {}), **files[0].layout.types},
    )
    if files[0].format != "parquet":
        with _errors(where):
            names.check(files[0].layout, set(schema.names) - _absent(files), types or {}, where)
    empty = True
    for file, survey, mark in zip(files, surveys, before, strict=True):
        with _errors(file.name):
            for batch in _batches(file, survey, schema):
                empty = False
                yield _cast(batch, schema, file.name)
            if file.stamp() != mark:
                raise SourceChanging(f"{file.name} changed while it was read; wait until it is complete")
    if empty:
        yield pa.RecordBatch.from_pylist([], schema)


def stamp(files: Sequence[File]) -> str | None:
    """Return a digest of the names, sizes and times of files; None if there are none, or one is gone."""
    try:
        marks = [f"{file.path} {file.stamp()}" for file in files]
    except FileNotFoundError:
        return None
    return hashlib.sha256("\n".join(marks).encode()).hexdigest()[:32] if marks else None


def _survey(file: File, types: Mapping[str, str], marks: Mapping[str, str] | None) -> marking.Survey:
    if file.format == "parquet":
        schema = _parquet(file).schema_arrow.remove_metadata()
        distinct(schema.names, file.name)
        return marking.Survey(file, schema)
    if file.format == "csv":
        types = _of_text(types) | file.layout.types
    return marking.survey(file, types, marks)


def _absent(files: Sequence[File]) -> set[str]:
    absent = set(files[0].layout.types) if files[0].format == "jsonl" else set()
    for file in files:
        absent = json.absent(file, absent)
    return absent


def _of_text(types: Mapping[str, str]) -> dict[str, str]:
    # Files may write times in different ways, and all times are published as one type.
    return {name: kind for name, kind in types.items() if not kind.startswith(("timestamp", "date", "time"))}


def _ordered(schema: pa.Schema, own: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([schema.field(name) for name in own.names])


def _batches(file: File, survey: marking.Survey, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    if file.format != "parquet":
        return survey.batches(_ordered(schema, survey.schema))
    batches: Iterator[pa.RecordBatch] = (
        batch.replace_schema_metadata() for batch in _parquet(file).iter_batches(ROWS)
    )
    return batches


def _cast(batch: pa.RecordBatch, schema: pa.Schema, where: str) -> pa.RecordBatch:
    place = batch.schema.get_field_index(unreadable.COLUMN)
    if place < 0 or unreadable.COLUMN in schema.names:
        return cast(batch, schema, where)
    rest = cast(batch.remove_column(place), schema, where)
    return rest.append_column(unreadable.COLUMN, batch.column(place))


def _parquet(file: File) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # Buffered, so that a whole row group need not be in memory at once.
        return parquet.ParquetFile(
            file.open(),
            buffer_size=1 << 20,
            pre_buffer=False,
            # In nanoseconds, as Arrow reads INT96 by itself, times after 2262 become others.
            coerce_int96_timestamp_unit="us",
        )
    except pa.ArrowInvalid as error:
        raise SourceUnreadable(f"{file.name} is truncated or no Parquet: {error}") from error


@contextmanager
def _errors(where: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (SourceMissing, SourceUnreadable, SourceChanging):
        raise
    except FileNotFoundError as error:
        raise SourceMissing(f"{where}: a file is gone: {error}") from error
    except (ConnectionError, TimeoutError) as error:
        raise SourceMissing(f"{where} cannot be reached: {error}") from error
    except (OSError, EOFError, pa.ArrowInvalid) as error:
        raise SourceUnreadable(f"{where} is truncated, damaged, or cannot be opened: {error}") from error
