"""Files for people: rows streamed to Parquet, CSV or JSON lines, written whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date, datetime, time
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    import pyarrow as pa

    Writer = Callable[[pa.RecordBatch], Any]

FORMATS = (".parquet", ".csv", ".jsonl", ".csv.gz", ".jsonl.gz")
"""Endings of a file name that tell how it is written."""


def write(batches: Iterable[pa.RecordBatch], path: str, overwrite: bool = False) -> int:
    """Write rows to a file in bounded memory, and return how many there were.

    Values are written as they are, so that a file can be read back. That includes text that begins with ``=``, ``+``,
    ``-`` or ``@``, in which a spreadsheet program sees a formula: have it import such columns as text. In CSV, text is
    quoted, so that an empty text and a missing value differ.

    The file gets its name when it is complete; until then, and after an error, an older file of that name stays.

    :param batches: a ``RecordBatchReader``, or at least one batch; all of one schema.
    :param path: a local file that ends in one of :data:`FORMATS`.
    :param overwrite: whether it may take the place of a file that is there.
    :raises FileExistsError: if the file is there and may not be replaced.
    :raises FileNotFoundError: if its folder is not there.
    :raises ValueError: if the name has another ending, or the format cannot hold the rows.
    """
    target = Path(path)
    ending = next((ending for ending in FORMATS if target.name.endswith(ending)), None)
    if ending is None:
        raise ValueError(f"{path}: the name of the file must end in one of {', '.join(FORMATS)}")
    if not overwrite and target.exists():
        raise FileExistsError(f"{path} is there already; name another file, or ask to overwrite it")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent}")
    schema, batches = _schema(batches)
    count = 0
    with _complete(target) as raw, _compressed(raw, ending) as file, _writer(file, schema, ending) as put:
        for batch in batches:
            put(batch)
            count += batch.num_rows
    return count


def _schema(batches: Iterable[pa.RecordBatch]) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    if hasattr(batches, "schema"):
        return batches.schema, batches
    rest = iter(batches)
    first = next(rest, None)
    if first is None:
        raise ValueError("there is nothing to write, not even the names of columns")
    return first.schema, chain([first], rest)


@contextmanager
def _complete(target: Path) -> Iterator[IO[bytes]]:
    # Beside the target: a rename is only atomic within one file system.
    part = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _compressed(file: IO[bytes], ending: str) -> AbstractContextManager[Any]:
    # Without name and time in it, equal rows give equal bytes.
    return gzip.GzipFile("", "wb", fileobj=file, mtime=0) if ending.endswith(".gz") else nullcontext(file)


@contextmanager
def _writer(file: IO[bytes], schema: pa.Schema, ending: str) -> Iterator[Writer]:
    import pyarrow as pa
    from pyarrow import csv, parquet

    kind = ending.removesuffix(".gz")
    try:
        if kind == ".jsonl":
            yield lambda batch: file.writelines(_lines(batch))
        else:
            with (parquet.ParquetWriter if kind == ".parquet" else csv.CSVWriter)(file, schema) as writer:
                yield writer.write_batch
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise ValueError(f"the rows cannot be written as {kind}: {error}") from error


def _lines(batch: pa.RecordBatch) -> Iterator[bytes]:
    for row in batch.to_pylist():
        try:
            yield json.dumps(row, default=_plain, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"JSON cannot hold this row ({error}); write .parquet instead: {row!r:.300}"
            ) from error


def _plain(value: object) -> str:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a value is {type(value).__name__}")
