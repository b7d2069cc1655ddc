"""The beginning of a file, as a look at how its numbers and times are written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from airflow_mlops.stores.sources import files
from airflow_mlops.stores.sources.bytes import File
from airflow_mlops.stores.sources.hints import Looks, advice

if TYPE_CHECKING:
    import pyarrow as pa

_BYTES = 1 << 20
"""Bytes of text that are looked at."""


def advise(file: File) -> list[str]:
    """Say which options would read columns of a file that look like numbers or times, by its first rows.

    :raises SourceUnreadable: if the file cannot be read; the message names the option that helps, if one does.
    """
    if file.format == "parquet":
        return list(_advised(file, islice(files.read([file], file.name), 1)))
    with file.open_text() as text:
        beginning = text.read(_BYTES)
    with tempfile.NamedTemporaryFile(prefix="airflow-mlops-", suffix=f".{file.format}") as raw:
        raw.write(_whole_rows(beginning) if len(beginning) == _BYTES else beginning)
        raw.flush()
        import fsspec

        # The name stays, for messages.
        layout = replace(file.layout, format=file.format, encoding="utf-8")
        part = File(fsspec.filesystem("file"), raw.name, file.name, layout)
        return list(_advised(part, files.read([part], file.name)))


def _advised(file: File, batches: Iterator[pa.RecordBatch]) -> Iterator[str]:
    looks = Looks()
    for batch in batches:
        looks.add(batch)
    for hint in looks.hints():
        if said := advice(hint, [file]):
            yield said


def _whole_rows(text: bytes) -> bytes:
    """Return the rows before the last line end that is in no quotes."""
    end = len(text)
    while (end := text.rfind(b"\n", 0, end)) >= 0:
        if not text.count(b'"', 0, end) % 2:
            return text[: end + 1]
    return text
