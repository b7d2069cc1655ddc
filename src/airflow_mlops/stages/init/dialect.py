"""How files are written: their encoding, delimiter, numbers and times, as the source of a spec says it."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.stores.sources import csv as arrow_csv
from airflow_mlops.stores.sources import quotes
from airflow_mlops.stores.sources.advice import advice
from airflow_mlops.stores.sources.batches import distinct
from airflow_mlops.stores.sources.bytes import NULLS, File, Layout
from airflow_mlops.stores.sources.hints import Hint, Looks
from airflow_mlops.stores.sources.notation import Notation

if TYPE_CHECKING:
    import pyarrow as pa

_BYTES = 1 << 16
"""Bytes of a file by which its delimiter is told."""
_MARKS = (b"\xff\xfe", b"\xfe\xff")
_ALIKE = 0.9
"""Share of the rows that have as many fields as the header."""
_BY_COMMAS = 0.5
"""What it counts for a point before fractions that commas are between fields: less than a column."""
_OF_ALL = ("decimal", "thousands")
"""Options that all numbers of a file share."""
_PLAIN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_POINT = r"^[+-]?(0?\.\d|\d{4,}\.\d|\d+\.(\d{1,2}|\d{4,})$)"
"""A number whose point stands before its fraction, as it separates no thousands."""
_CODE = r"^0\d+$"
"""A whole number never begins with a zero; postcodes and telephone numbers do."""


class Dialect(NamedTuple):
    """How files are written.

    :param options: what a spec says of it, by key of ``source.files``.
    :param notes: what a person should know of it.
    """

    options: dict[str, Any]
    notes: tuple[str, ...]


def layout_of(options: Mapping[str, Any]) -> Layout:
    """Return the layout that options of ``source.files`` describe."""
    notation = Notation(
        options.get("decimal", "."),
        options.get("thousands"),
        tuple(options.get("percent", ())),
        dict(options.get("times", {})),
    )
    return Layout(
        delimiter=options.get("delimiter", ","),
        encoding=options.get("encoding", "utf-8"),
        nulls=tuple(options.get("nulls", NULLS)),
        types=dict(options.get("types", {})),
        notation=notation,
    )


def written(files: Sequence[File], options: Mapping[str, Any]) -> list[File]:
    """Return files with the layout that options describe."""
    layout = layout_of(options)
    return [replace(file, layout=layout) for file in files]


def find(files: Sequence[File]) -> Dialect:
    """Look at all rows of files, and return how they are written.

    :raises SourceUnreadable: if they cannot be read.
    """
    if files[0].format == "parquet":
        return Dialect({}, ())
    options, notes = _of_text(files)
    if files[0].format != "csv":
        return Dialect(options, tuple(notes))
    glance = _Glance(Notation())
    glance.add(written(files, options))
    usual = glance.points() + (_BY_COMMAS if "delimiter" not in options else 0)
    notations, said = _of_values(list(glance.looks.hints()), usual)
    notes += said
    if codes := glance.codes():
        options["types"] = dict.fromkeys(codes, "string")
        verb = "has" if len(codes) == 1 else "have"
        notes.append(f"{_listed(codes)} {verb} numbers with a zero in front, which text keeps")
    options |= notations
    again = written(files, options)
    if not again[0].layout.notation.is_plain:
        glance = _Glance(again[0].layout.notation)
        glance.add(again)
    strays, left = _strays(list(glance.looks.hints()), again)
    if strays:
        options["nulls"] = [*strays, *filter(None, NULLS)]
        verb = "stands" if len(strays) == 1 else "stand"
        notes.append(f"{_listed(strays)} {verb} for a missing value")
    return Dialect(options, (*notes, *left))


def _strays(hints: Sequence[Hint], files: Sequence[File]) -> tuple[list[str], list[str]]:
    """Return texts that stand for what is missing, and what to do about other values that cannot be read."""
    layout, blanks, left = files[0].layout, dict[str, int](), []
    for hint in hints:
        if hint.column in layout.types or hint.column in layout.notation.kinds:
            continue
        count, _ = hint.strays(layout.nulls)
        missing = {text: rows for text, (rows, _) in hint.missing.items() if text not in layout.nulls}
        if not hint.options and sum(missing.values()) == count:
            blanks |= missing
        elif sentence := advice(hint, files):
            left.append(sentence)
    return list(blanks), left


def _of_text(files: Sequence[File]) -> tuple[dict[str, Any], list[str]]:
    """Return the encoding and the delimiter, where they are not as usual."""
    options: dict[str, Any] = {}
    notes = []
    encodings = [encoding for encoding in map(_encoding, files) if encoding != "utf-8"]
    if encodings:
        options["encoding"] = encodings[-1]
        notes.append(f"no UTF-8: read as {encodings[-1]}; look whether letters with accents are right")
    if files[0].format == "csv" and (mark := _delimiter(written(files[:1], options)[0])) != ",":
        options["delimiter"] = mark
    return options, notes


def _encoding(file: File) -> str:
    first: SourceUnreadable | None = None
    with file.open() as raw:
        marked = raw.read(2) in _MARKS
    for encoding in ("utf-16",) if marked else ("utf-8", "cp1252", "latin-1"):
        try:
            with replace(file, layout=Layout(encoding=encoding)).open_text() as text:
                while text.read(1 << 20):
                    pass
        except SourceUnreadable as error:
            first = first or error
        else:
            return encoding
    assert first is not None
    raise first


def _delimiter(file: File) -> str:
    with file.open_text() as text:
        beginning = text.read(_BYTES).decode("utf-8", "ignore")
    if len(beginning) >= _BYTES // 2:
        beginning = beginning[: beginning.rfind("\n") + 1]
    widths: dict[str, int] = {}
    for mark in (",", ";", "\t", "|"):
        rows = [row for row in csv.reader(io.StringIO(beginning, newline=""), delimiter=mark) if row]
        width = len(rows[0]) if rows else 0
        if width > 1 and sum(len(row) == width for row in rows) >= _ALIKE * len(rows):
            widths[mark] = width
    return max(widths, key=lambda mark: widths[mark], default=",")


class _Glance:
    """One reading of all rows as text: what looks like numbers or times, and what looks like codes.

    :param notation: in which numbers are said to be written.
    """

    def __init__(self, notation: Notation) -> None:
        self.looks = Looks(notation)
        self._digits: dict[str, bool] = {}
        self._zeros: set[str] = set()
        self._plain: dict[str, bool] = {}
        self._pointed: set[str] = set()

    def add(self, files: Sequence[File]) -> None:
        """Read files."""
        for file in files:
            plain = replace(file, layout=replace(file.layout, notation=Notation(), types={}))
            for batch in _as_text(plain):
                self.looks.add(batch)
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    text = _present(column)
                    self._add_digits(name, text)
                    self._add_points(name, text)

    def codes(self) -> list[str]:
        """Return the columns of nothing but digits of which some have a zero in front, as codes have it."""
        return [name for name, are_digits in self._digits.items() if are_digits and name in self._zeros]

    def points(self) -> int:
        """Return the number of columns of nothing but numbers whose fractions stand behind a point."""
        return sum(self._plain[name] for name in self._pointed)

    def _add_points(self, name: str, text: pa.StringArray) -> None:
        import pyarrow.compute as pc

        if not self._plain.setdefault(name, True):
            return
        self._plain[name] = pc.all(pc.match_substring_regex(text, _PLAIN), min_count=0).as_py()
        if pc.any(pc.match_substring_regex(text, _POINT)).as_py():
            self._pointed.add(name)

    def _add_digits(self, name: str, text: pa.StringArray) -> None:
        import pyarrow.compute as pc

        if not self._digits.setdefault(name, True):
            return
        if not pc.all(pc.match_substring_regex(text, r"^\d+$"), min_count=0).as_py():
            self._digits[name] = False
        elif pc.any(pc.match_substring_regex(text, _CODE)).as_py():
            self._zeros.add(name)


def _present(column: pa.StringArray) -> pa.StringArray:
    """Return the values of a column that are not missing, without blanks around them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = column.filter(pc.invert(pc.is_in(column, value_set=pa.array([*NULLS, None], pa.string()))))
    return pc.utf8_trim_whitespace(values)


def _as_text(file: File) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    with quotes.rows(file) as rows:
        names: list[str] = next(rows, [])
    distinct(names, file.name)
    return arrow_csv.batches(file, pa.schema([(name, pa.string()) for name in names]))


def _of_values(hints: Collection[Hint], usual: float) -> tuple[dict[str, Any], list[str]]:
    """Return the notation that most columns have in common, and say where a column can be read in two ways.

    :param usual: how many columns more have a point before their fractions.
    """
    options: dict[str, Any] = {}
    notes = []
    numbers: list[list[dict[str, object]]] = [
        [{key: option[key] for key in _OF_ALL if key in option} for option in hint.options]
        for hint in hints
        if hint.options and not hint.is_time
    ]
    ways: list[dict[str, object]] = [way for ways in numbers for way in ways]

    def columns(way: Mapping[str, object]) -> float:
        return sum(way in others for others in numbers) + (usual if way.get("decimal", ".") == "." else 0)

    if ways:
        likeliest: dict[str, object] = max(ways, key=columns)
        options |= likeliest
    for hint in hints:
        percent = [name for option in hint.options[:1] for name in option.get("percent", ())]  # type: ignore[attr-defined]
        if percent:
            options["percent"] = [*options.get("percent", ()), *percent]
        if hint.is_time:
            options["times"] = {**options.get("times", {}), **hint.options[0]["times"]}  # type: ignore[dict-item]
        if len(hint.options) > 1:
            notes.append(_two_ways(hint, options))
    return options, notes


def _two_ways(hint: Hint, options: Mapping[str, Any]) -> str:
    """Say by which options a column is read, and by which it could be read as well."""
    first = next(
        (way for way in hint.options if not hint.is_time and way.items() <= options.items()), hint.options[0]
    )
    second = next(way for way in hint.options if way != first)
    taken, other = (replace(hint, options=[way]).written() for way in (first, second))
    value = hint.values[0][1]
    return f"{hint.column!r}, such as {value!r}, is read by {taken}, and could be read by {other} too: look which is right"


def _listed(names: Collection[str]) -> str:
    return ", ".join(map(repr, names))
