"""Columns of text that look like numbers or times in another notation, and the options that would read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.stores.sources.bytes import NULLS
from airflow_mlops.stores.sources.notation import Notation, numbers, times

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

SHOWN = 3
"""Values that a hint shows."""
_SAMPLE = 1_000
"""Values by which a column is taken for text, or looked at further."""
_NEARLY = 0.95
"""Share of the values that must be readable."""
_MARKED = 0.1
"""Share of the values that must be no numbers as they are: `1,5` among many `2` may be one, a single one is not."""
LONGEST = 40
"""Characters of a value that a message shows."""

_NUMBERS = ((",", None), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"), (".", "_"))
_DATES = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d-%b-%Y", "%d %b %Y"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%b-%y"),
)  # fmt: skip
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
# One look tells most columns of text from all of these.
_LIKELY = r"^[\s+-]*\d(?:[\d\s.,'_/:+%\x{2019}\x{a0}\x{2009}\x{202f}-]|\b[A-Za-z]{3}\b|[AaPp][Mm])*$"
MISSING = ("-", "?", *NULLS)
"""What people write for a missing value, of which a file counts only some as missing."""
# Numbers have no zero in front; telephone numbers and postcodes may.
_CODE = r"^[+-]?0\d"


class _Way(NamedTuple):
    """A notation that a column may be in.

    :param options: what a spec says then, by key.
    :param read: returns what Arrow reads; null where a text is none.
    """

    options: dict[str, object]
    read: Callable[[pa.StringArray], pa.StringArray]


@dataclass(frozen=True)
class Hint:
    """A column of text that looks like numbers or times.

    :param values: the first of them, each with the number of rows before it.
    :param others: how many values are none.
    :param options: what would read it, by key of a file of CSV; several if they cannot be told apart. None if it is in
        the notation that it is said to be in, but for a few values.
    :param misfits: the first values that are none, each with the number of rows before it.
    :param missing: how often each text stands there that people write for what is missing, and the first such rows.
    """

    column: str
    values: Sequence[tuple[int, str]]
    others: int
    options: Sequence[dict[str, object]]
    count: int = 0
    misfits: Sequence[tuple[int, str]] = ()
    missing: Mapping[str, tuple[int, Sequence[int]]] = field(default_factory=dict)

    @property
    def is_time(self) -> bool:
        """Whether they look like times."""
        return any("times" in option for option in self.options)

    def strays(self, nulls: Sequence[str]) -> tuple[int, list[tuple[int, str]]]:
        """Return how many values are no numbers, and the first of them, each with the number of rows before it.

        :param nulls: texts that count as missing.
        """
        blanks = {text: places for text, places in self.missing.items() if text not in nulls}
        first = [(before, text) for text, (_, rows) in blanks.items() for before in rows]
        return self.others + sum(count for count, _ in blanks.values()), sorted([*self.misfits, *first])[
            :SHOWN
        ]

    def sentence(self, places: Sequence[str] | None = None, *, masked: bool = False) -> str:
        """Say what the column looks like.

        :param places: where each value is; None names the row.
        :param masked: whether the values may not be shown.
        """
        shown = places or [f"row {before + 1:,}" for before, _ in self.values]
        values = ", ".join(
            place if masked else f"{text[:LONGEST]!r} ({place})"
            for (_, text), place in zip(self.values, shown, strict=True)
        )
        but = f", but for {self.others:,} value{'s' * (self.others > 1)}" if self.others else ""
        what = "times" if self.is_time else "numbers"
        return f"{self.column!r} is text, and looks like {what} in another notation{but}: {values}"

    def written(self, notation: Notation | None = None) -> str:
        """Return the options as a spec has them.

        :param notation: options that are there already, which are left out.
        """
        import yaml

        there = {} if notation is None else vars(notation)
        left = [
            {key: value for key, value in option.items() if there.get(key) != value}
            for option in self.options
        ]
        written = [
            yaml.safe_dump(option, default_flow_style=True, width=10**9, allow_unicode=True).strip()[1:-1]
            for option in left
            if option
        ]
        return " or ".join(written)


class Looks:
    """Look at columns of text, batch by batch; one that does not look like numbers or times costs a glance.

    :param declared: the notation that numbers are said to be in: columns are told of that are in it but for a few values.
    """

    def __init__(self, declared: Notation | None = None) -> None:
        self._declared = declared
        self._columns: dict[str, _Column] = {}
        self._rows = 0

    def add(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Look at more rows."""
        import pyarrow as pa

        for name, column in zip(rows.schema.names, rows.columns, strict=True):
            if str(column.type) in ("string", "large_string", "string_view"):
                look = self._columns.setdefault(name, _Column(name, self._declared))
                look.add(column.cast(pa.string()), self._rows)
        self._rows += rows.num_rows

    def hints(self) -> Iterator[Hint]:
        """Yield a hint for each column that looks like numbers or times."""
        for column in self._columns.values():
            if hint := column.hint():
                yield hint


class _Column:
    def __init__(self, name: str, declared: Notation | None) -> None:
        self._name = name
        self._declared = declared
        self._misfits: list[list[tuple[int, str]]] = []
        self._missing: dict[str, tuple[int, list[int]]] = {}
        self._notations: list[_Way] | None = None
        self._first: list[tuple[int, str]] = []
        self._sample: pa.StringArray | None = None
        self._values = 0
        self._counts: list[int] = []

    def add(self, column: pa.Array | pa.ChunkedArray, before: int) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._notations == [] or not len(column):
            return
        there = pc.invert(pc.is_in(column, value_set=pa.array([*MISSING, None], pa.string())))
        self._add_missing(column.filter(pc.invert(there)), pc.indices_nonzero(pc.invert(there)), before)
        values = column.filter(there)
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        if not len(values):
            return
        if self._notations is None:
            self._sample = values[:_SAMPLE]
            self._notations = list(_fitting(self._name, self._sample, self._declared))
            self._counts = [0] * len(self._notations)
            self._misfits = [[] for _ in self._notations]
            if not self._notations:
                return
        if len(self._first) < SHOWN:
            places = pc.indices_nonzero(there)[:SHOWN].to_pylist()
            self._first += [(before + place, column[place].as_py()) for place in places]
            self._first = self._first[:SHOWN]
        self._values += len(values)
        for position, notation in enumerate(self._notations):
            read, misfits = notation.read(values), self._misfits[position]
            self._counts[position] += len(values) - read.null_count
            if read.null_count and (left := SHOWN - len(misfits)) > 0:
                places = pc.indices_nonzero(there).take(pc.indices_nonzero(pc.is_null(read))[:left])
                misfits += [(before + place, column[place].as_py()) for place in places.to_pylist()]

    def _add_missing(self, texts: pa.Array | pa.ChunkedArray, places: pa.Array, before: int) -> None:
        import pyarrow.compute as pc

        for text in filter(None, pc.unique(texts).to_pylist()):
            count, rows = self._missing.get(text, (0, []))
            here = places.filter(pc.equal(texts, text))
            rows += [before + place for place in here[: SHOWN - len(rows)].to_pylist()]
            self._missing[text] = count + len(here), rows

    def hint(self) -> Hint | None:
        most = max(self._counts, default=0)
        if not self._notations or self._values < SHOWN or most < _NEARLY * self._values:
            return None
        position = self._counts.index(most)
        best = [
            notation for notation, count in zip(self._notations, self._counts, strict=True) if count == most
        ]
        if not best[0].options:
            count, misfits = self._values, self._misfits[position]
            return Hint(self._name, self._first, count - most, (), count, misfits, self._missing)
        first = best[0].read(self._sample)
        others = [notation for notation in best[1:] if not notation.read(self._sample).equals(first)]
        options = [best[0].options, *(notation.options for notation in others[:1])]
        return Hint(self._name, self._first, self._values - most, options)


def _fitting(name: str, values: pa.StringArray, declared: Notation | None) -> Iterator[_Way]:
    """Yield the notations that nearly all values are in: the declared one, and then the simplest first."""
    import pyarrow.compute as pc

    def share(matches: pa.BooleanArray) -> float:
        return float(pc.mean(matches).as_py())

    text = pc.utf8_trim_whitespace(values)
    if share(pc.match_substring_regex(text, _LIKELY)) < _NEARLY:
        return
    if declared is not None:
        read = partial(_numbers, decimal=declared.decimal, thousands=declared.thousands, percent=False)
        if share(pc.is_valid(read(values))) >= _NEARLY:
            yield _Way({}, read)
    if share(pc.is_null(numbers(text, ".", None))) < _MARKED:
        if declared is None or (declared.decimal, declared.thousands) == (".", None):
            return
        # As Arrow reads them, which is not how they are said to be written.
        options: dict[str, object] = {"decimal": ".", "thousands": None}
        yield _Way(options, partial(_numbers, decimal=".", thousands=None, percent=False))
    for notation in _notations(name, is_percent=share(pc.ends_with(text, "%")) >= _NEARLY):
        if share(pc.is_valid(notation.read(values))) >= _NEARLY:
            yield notation


def _notations(name: str, *, is_percent: bool) -> Iterator[_Way]:
    for decimal, thousands in ((".", None), *_NUMBERS) if is_percent else _NUMBERS:
        options: dict[str, object] = {"percent": [name]} if is_percent else {}
        options |= {"decimal": decimal} if decimal != "." else {}
        options |= {"thousands": thousands} if thousands else {}
        yield _Way(options, partial(_numbers, decimal=decimal, thousands=thousands, percent=is_percent))
    for day in () if is_percent else _DATES:
        for clock in _CLOCKS:
            yield _Way({"times": {name: day + clock}}, partial(times, format=day + clock))


def _numbers(values: pa.StringArray, *, decimal: str, thousands: str | None, percent: bool) -> pa.StringArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    read = numbers(values, decimal, thousands, percent=percent)
    is_code = pc.match_substring_regex(pc.utf8_trim_whitespace(values), _CODE)
    return pc.if_else(is_code, pa.scalar(None, pa.string()), read)
