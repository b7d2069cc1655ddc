"""The beginning of a file, as a look at how its numbers and times are written."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.stores.sources import files
from airflow_mlops.stores.sources.advice import advice
from airflow_mlops.stores.sources.bytes import File
from airflow_mlops.stores.sources.hints import Looks
from airflow_mlops.stores.sources.unreadable import Tally, taken

if TYPE_CHECKING:
    import pyarrow as pa

_BYTES = 1 << 20
"""Bytes of text that are looked at."""


class Beginning(NamedTuple):
    """What the first rows of a file show.

    :param columns: its columns; empty if the first rows cannot tell.
    :param advice: which options would read columns that look like numbers or times, and which values are to be corrected.
    :param unreadable: which values are none of the types that their columns must have, and the option that would read them.
    :param rows: these rows; None if there are none.
    :param is_whole: whether the file has no further ones.
    """

    columns: Sequence[str]
    advice: Sequence[str]
    unreadable: Sequence[str] = ()
    rows: pa.Table | None = None
    is_whole: bool = True


def look(file: File, expected: Mapping[str, str], pii: Collection[str] = ()) -> Beginning:
    """Look at the first rows of a file.

    :param expected: Arrow types that columns must have, beside those that the layout names.
    :param pii: columns whose values are not shown.
    :raises SourceUnreadable: if the file cannot be read; the message names the option that helps, if one does.
    """
    if file.format == "parquet":
        batches = files.read([file], file.name)
        sample = _sample(file, islice(batches, 1), pii)
        return sample._replace(is_whole=next(batches, None) is None)
    with file.open_text() as text:
        beginning = text.read(_BYTES)
    with tempfile.NamedTemporaryFile(prefix="airflow-mlops-", suffix=f".{file.format}") as raw:
        raw.write(_whole_rows(beginning) if len(beginning) == _BYTES else beginning)
        raw.flush()
        import fsspec

        # The name stays, for messages.
        layout = replace(file.layout, format=file.format, encoding="utf-8")
        part = File(fsspec.filesystem("file"), raw.name, file.name, layout)
        sample = _sample(part, files.read([part], file.name, marks=expected), pii)
        # A key of JSON may stand further on.
        is_whole = len(beginning) < _BYTES
        columns = sample.columns if is_whole or file.format == "csv" else ()
        return sample._replace(columns=columns, is_whole=is_whole)


def _sample(file: File, batches: Iterator[pa.RecordBatch], pii: Collection[str]) -> Beginning:
    import pyarrow as pa

    parts: list[pa.Table] = []
    looks, tally = Looks(file.layout.notation), Tally()
    for batch in batches:
        rows, cells = taken(pa.Table.from_batches([batch]))
        looks.add(rows)
        tally.add(rows, cells)
        parts.append(rows)
    hints = (advice(hint, [file], masked=hint.column in pii) for hint in looks.hints())
    table = pa.concat_tables(parts, promote_options="permissive") if parts else None
    return Beginning(
        table.column_names if table is not None else (),
        [said for said in hints if said],
        [_unreadable(tally, name, pii) for name in tally.counts],
        table,
    )


def _unreadable(tally: Tally, name: str, pii: Collection[str]) -> str:
    written = tally.written(name)
    return tally.sentence(name, masked=name in pii) + (f"; write {written}" if written else "")


def _whole_rows(text: bytes) -> bytes:
    """Return the rows before the last line end that is in no quotes."""
    end = len(text)
    while (end := text.rfind(b"\n", 0, end)) >= 0:
        if not text.count(b'"', 0, end) % 2:
            return text[: end + 1]
    return text
