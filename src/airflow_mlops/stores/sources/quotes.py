"""The quotes of CSV, read strictly: what is not closed, not doubled, or escaped by a backslash."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any

from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.stores.sources.bytes import File, Stream, Utf8

BLOCK = 1 << 23
"""Bytes that are parsed at a time; a row cannot be longer."""
_LIMIT = Lock()
"""Held while the field size limit of Python's reader is changed."""
_ESCAPED = '\\"'
_UNESCAPED = "; its quotes are escaped by a backslash: write escape: \\"


def open_text(file: File) -> Text:
    """Open a file of CSV as UTF-8 text."""
    return Text(file.open_text(), file)


class Text(Stream):
    r"""The text of a file of CSV, in which a field ``\N``, as MySQL writes what is missing, is empty if there is an escape.

    :ivar has_escaped: whether a backslash stands before a quote anywhere so far.
    :ivar has_hexadecimal: whether anything so far may be a number such as ``0x10``, which Arrow reads as 16.
    """

    _raw: Utf8

    def __init__(self, raw: Utf8, file: File) -> None:
        super().__init__(raw)
        self._former = b"\n"
        self._rest = b""
        self._escape = (file.layout.escape or "").encode()
        around = re.escape(file.layout.delimiter.encode())
        null = re.escape(self._escape) + b"N"
        self._null = re.compile(b"(?<=[\n" + around + b"])" + null + b"(?=[\r\n" + around + b"])")
        self.has_escaped = False
        self.has_hexadecimal = False

    def read(self, size: int = -1) -> bytes:
        """Return about the next ``size`` bytes, and none only at the end of the file."""
        while True:
            chunk = self._raw.read(max(size - len(self._rest), 1) if size > 0 else size)
            new = self._former + chunk
            self.has_escaped = self.has_escaped or _ESCAPED.encode() in new
            self.has_hexadecimal = self.has_hexadecimal or b"0x" in new or b"0X" in new
            if not self._escape:
                self._former = chunk[-1:]
                return chunk
            text = self._former + self._rest + chunk
            # What may be the beginning of a missing field waits for the next chunk.
            waits = next((end for end in (self._escape + b"N", self._escape) if text.endswith(end)), b"")
            ready = text[: len(text) - len(waits)] if chunk else text
            self._rest = waits if chunk else b""
            if taken := self._null.sub(b"", ready)[len(self._former) :]:
                self._former = ready[-1:]
                return taken
            if not chunk:
                return b""


@contextmanager
def rows(file: File) -> Iterator[Any]:
    """Read with Python's reader, which counts lines, unlike Arrow's."""
    with _reading(file, strict=False) as (reader, _):
        yield reader


def lines_of(file: File, places: Sequence[int]) -> list[int]:
    """Return the lines in which rows begin.

    :param places: how many rows are before each, without the header; in ascending order.
    """
    lines: list[int] = []
    with rows(file) as reader:
        before, count, following = 0, -1, iter(places)
        place = next(following, None)
        for row in reader:
            if place is None:
                break
            if row and count == place:
                lines.append(before + 1)
                place = next(following, None)
            # The header is the row before the first; an empty line is none.
            count += bool(row)
            before = reader.line_num
    return lines


def places(files: Sequence[File], rows_before: Sequence[int]) -> list[str]:
    """Return where rows begin that are counted through several files, such as ``line 7 of parcels.csv``.

    :param rows_before: how many rows are before each; in ascending order.
    """
    left, count, shown = list(rows_before), -1, []
    for file in files:
        with rows(file) as reader:
            before, header = 0, True
            for row in reader:
                if row and not header:
                    count += 1
                    if left and left[0] == count:
                        left.pop(0)
                        shown.append(f"line {before + 1:,} of {file.name}")
                    if not left:
                        return shown
                header = header and not row
                before = reader.line_num
    return shown


def refuse_open(file: File, *, has_escaped: bool) -> None:
    """Read a file once more, strictly: Arrow joins the lines from an open quote to the next one, wherever that is.

    It also takes a quote after a backslash for the end of a value, and what follows for more of it.

    :param has_escaped: whether a backslash stands before a quote somewhere, and the layout has no escape.
    :raises SourceUnreadable: if a quote is not closed, or stands in a value without being doubled or escaped.
    """
    first = None
    with _reading(file, strict=True) as (reader, lines):
        began = 0
        try:
            for row in reader:
                if has_escaped and _ESCAPED in "".join(lines):
                    first = first or began + 1
                    if _is_bare(row, lines, file):
                        raise _escaped(file, began + 1)
                began = reader.line_num
                lines.clear()
        except csv.Error as error:
            hint = _UNESCAPED if has_escaped and _ESCAPED in "".join(lines) else ""
            raise SourceUnreadable(
                f"{file.name}: the row that begins in line {began + 1:,} is no CSV ({error}); a quote is not closed, "
                f"or one within a value is not doubled{hint}"
            ) from error
    # What doubles its quotes can hardly be read with an escape as well: some value would end too early, or not at all.
    if first and _has_rows(replace(file, layout=replace(file.layout, escape="\\"))):
        raise _escaped(file, first)


def _escaped(file: File, line: int) -> SourceUnreadable:
    return SourceUnreadable(f"{file.name}: the row that begins in line {line:,} is broken{_UNESCAPED}")


def ragged(file: File, width: int) -> tuple[str, str]:
    """Return the line of the first row that has another number of fields, in words, and a hint if it is escaped."""
    # Arrow does not name the line, and rows are not lines where values hold line ends.
    with _reading(file, strict=False) as (reader, lines):
        before = 0
        try:
            for row in reader:
                if row and len(row) != width:
                    escaped = not file.layout.escape and _ESCAPED in "".join(lines)
                    return f"line {before + 1:,}", _UNESCAPED if escaped else ""
                before = reader.line_num
                lines.clear()
        except csv.Error:
            pass
    return "a line", ""


def _is_bare(row: list[str], lines: list[str], file: File) -> bool:
    """Tell whether a value has an escaped quote, and no quotes around it, within which the quote would be doubled."""
    text, ends = "".join(lines), re.escape(file.layout.delimiter)
    return any(
        re.search(f"(?:^|{ends}){re.escape(value)}(?:{ends}|[\\r\\n]|$)", text)
        for value in row
        if _ESCAPED in value
    )


def _has_rows(file: File) -> bool:
    """Tell whether a file can be read strictly, with rows of one length."""
    with _reading(file, strict=True) as (reader, lines):
        width = None
        try:
            for row in reader:
                lines.clear()
                width = width or len(row)
                if row and len(row) != width:
                    return False
        except csv.Error:
            return False
    return True


@contextmanager
def _reading(file: File, *, strict: bool) -> Iterator[tuple[Any, list[str]]]:
    """Open a file for Python's reader; the list gets the lines that it reads, until somebody clears it."""
    with (
        _LIMIT,
        io.TextIOWrapper(io.BufferedReader(open_text(file)), encoding="utf-8", newline="") as text,
    ):
        lines: list[str] = []

        def kept() -> Iterator[str]:
            for line in text:
                lines.append(line)
                yield line

        # The limit holds for the whole process, and is lower than the length of a field that Arrow can read.
        former = csv.field_size_limit(BLOCK)
        try:
            layout = file.layout
            yield (
                csv.reader(kept(), delimiter=layout.delimiter, escapechar=layout.escape, strict=strict),
                lines,
            )
        finally:
            csv.field_size_limit(former)
