"""The beginning of a file, as a look at how its numbers and times are written."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.stores.sources import files
from airflow_mlops.stores.sources.advice import advice, stray
from airflow_mlops.stores.sources.bytes import File
from airflow_mlops.stores.sources.hints import MISSING, Hint, Looks

if TYPE_CHECKING:
    import pyarrow as pa

_BYTES = 1 << 20
"""Bytes of text that are looked at."""


class Beginning(NamedTuple):
    """What the first rows of a file show.

    :param columns: its columns; empty if the first rows cannot tell.
    :param advice: which options would read columns that look like numbers or times, and which values are to be corrected.
    """

    columns: Sequence[str]
    advice: Sequence[str]


def look(file: File, apart: Collection[str] = ()) -> Beginning:
    """Look at the first rows of a file.

    :param apart: columns of numbers; a row with a value that is none is set aside.
    :raises SourceUnreadable: if the file cannot be read; the message names the option that helps, if one does.
    """
    if file.format == "parquet":
        return _sample(file, islice(files.read([file], file.name), 1), apart)
    with file.open_text() as text:
        beginning = text.read(_BYTES)
    with tempfile.NamedTemporaryFile(prefix="airflow-mlops-", suffix=f".{file.format}") as raw:
        raw.write(_whole_rows(beginning) if len(beginning) == _BYTES else beginning)
        raw.flush()
        import fsspec

        # The name stays, for messages.
        layout = replace(file.layout, format=file.format, encoding="utf-8")
        part = File(fsspec.filesystem("file"), raw.name, file.name, layout)
        sample = _sample(part, files.read([part], file.name), apart)
        # A key of JSON may stand further on.
        is_whole = file.format == "csv" or len(beginning) < _BYTES
        return sample if is_whole else sample._replace(columns=())


def _sample(file: File, batches: Iterator[pa.RecordBatch], apart: Collection[str]) -> Beginning:
    columns: Sequence[str] = ()
    looks = Looks(file.layout.notation)
    for batch in batches:
        looks.add(batch)
        columns = batch.schema.names
    return Beginning(columns, [said for hint in looks.hints() if (said := _advice(hint, file, apart))])


def _advice(hint: Hint, file: File, apart: Collection[str]) -> str | None:
    if hint.options or hint.column not in apart:
        return advice(hint, [file])
    is_csv = file.format == "csv"
    said = stray(hint, file.layout.nulls if is_csv else MISSING, [file] if is_csv else ())
    return said and f"{hint.column!r}: {said}; their rows are set aside"


def _whole_rows(text: bytes) -> bytes:
    """Return the rows before the last line end that is in no quotes."""
    end = len(text)
    while (end := text.rfind(b"\n", 0, end)) >= 0:
        if not text.count(b'"', 0, end) % 2:
            return text[: end + 1]
    return text
