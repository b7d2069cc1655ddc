"""Predictions as a file, which is written whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.stores import disks

if TYPE_CHECKING:
    import pyarrow as pa
    from fsspec import AbstractFileSystem

    from airflow_mlops.stores.outputs.tables import ScoredPartition


def write(predictions: ScoredPartition, files: AbstractFileSystem, path: str, form: str) -> None:
    """Write predictions to a file, replacing one that is there.

    On a local file system a finished file is renamed to ``path``. To other file systems a finished file is uploaded,
    and object stores show it only when all of it has arrived.

    :param path: path of the file on the file system.
    :param form: ``csv`` or ``parquet``.
    :raises StoreUnavailable: if the disk is full, read-only, or closed to this user.
    :raises SchemaMismatch: if CSV cannot hold a value, such as bytes that are no text.
    """
    if "file" in _protocols(files):
        with disks.errors(path):
            _write_local(predictions, Path(path), form)
        return
    with TemporaryDirectory() as folder:
        draft = Path(folder) / "draft"
        with disks.errors(folder):
            _fill(predictions, draft, form)
        files.makedirs(path.rpartition("/")[0], exist_ok=True)
        files.put_file(str(draft), path)


def _write_local(predictions: ScoredPartition, target: Path, form: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid4().hex[:12]}")
    try:
        _fill(predictions, draft, form)
        os.replace(draft, target)
    finally:
        # A read-only disk refuses that too, which must not take the place of the first error.
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _protocols(files: AbstractFileSystem) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _fill(predictions: ScoredPartition, path: Path, form: str) -> None:
    import pyarrow as pa

    # CSV holds no lists.
    flat = form == "csv"
    schema = predictions.flat_schema if flat else predictions.schema
    try:
        with _writer(path, schema, form) as writer:
            for batch in predictions.flat_batches() if flat else predictions.batches():
                writer.write_batch(batch)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        columns = ", ".join(f"{field.name!r} ({field.type})" for field in schema)
        raise SchemaMismatch(
            f"predictions of {predictions.model} cannot be written as {form}: {error}; it has to hold {columns}: write "
            "format: parquet"
        ) from error


def _writer(path: Path, schema: pa.Schema, form: str) -> Any:
    if form == "csv":
        from pyarrow import csv

        return csv.CSVWriter(path, schema)
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, schema)
