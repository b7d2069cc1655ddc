"""Cells of text that cannot be read as the type of their column, and how they travel with their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.stores.arrow import times_of
from airflow_mlops.stores.sources.hints import Looks

if TYPE_CHECKING:
    import pyarrow as pa

COLUMN = "_unreadable"
"""Column that a batch has beside its own if it holds such cells: those of each row, null for a row without one."""

SHOWN = 3
"""Cells of a column that a message shows."""
_SAMPLE = 1_000
"""Cells of a column by which their notation is recognised."""
_LONGEST = 60
_NUMBER = r"(?i)^[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|nan.*|inf|infinity)$"
_TRUTH = r"(?i)^(?:true|false|0|1)$"
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"


class Cell(NamedTuple):
    """One cell that cannot be read.

    :param type: the Arrow type that its column has.
    :param place: where it stands, such as ``line 7 of parcels.csv``.
    """

    column: str
    text: str
    type: str
    place: str


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a type is text, whose values may be written in any way."""
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Tell whether values of a type are numbers."""
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def is_legible(kind: pa.DataType) -> bool:
    """Tell whether values of a type can be read from text: numbers, truth values and times."""
    from pyarrow import types

    return is_number(kind) or types.is_boolean(kind) or types.is_timestamp(kind) or types.is_date(kind)


def misfits(column: pa.Array, kind: pa.DataType) -> list[int]:
    """Return the positions of texts that are no number, no truth value or no time, whichever a type is.

    Whether the type holds each number or time is another question: a fraction among whole numbers is a number.
    """
    import pyarrow as pa
    from pyarrow import types

    if types.is_boolean(kind):
        return _failing(trimmed(column), _TRUTH, lambda part: part.cast(pa.bool_()))
    if types.is_timestamp(kind) or types.is_date(kind):
        return _failing(trimmed(column), _DAY, times_of)
    numbers = trimmed(column)
    failing = _failing(numbers, _NUMBER, lambda part: part.cast(pa.float64()))
    rest = without(numbers, failing)
    return sorted([*failing, *overflowing(rest, rest.cast(pa.float64()))])


def overflowing(texts: pa.Array, numbers: pa.Array) -> list[int]:
    """Return the positions of numbers that are larger than any fraction; only a text that says so is infinite."""
    import pyarrow.compute as pc

    infinite = pc.is_inf(numbers)
    if not pc.any(infinite).as_py():
        return []
    beyond = pc.fill_null(pc.and_(infinite, pc.match_substring_regex(texts, "[0-9]")), False)
    positions: list[int] = pc.indices_nonzero(beyond).to_pylist()
    return positions


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts as strings where they are views, which Arrow neither trims nor, if a batch is empty, joins."""
    import pyarrow as pa

    return column.cast(pa.string()) if pa.types.is_string_view(column.type) else column


def trimmed(column: pa.Array) -> pa.Array:
    """Return texts without blanks at their ends, with which a number, a truth value or a time may be written."""
    import pyarrow.compute as pc

    return pc.utf8_trim_whitespace(column)


def without(column: pa.Array, positions: Sequence[int]) -> pa.Array:
    """Return a column in which some cells are missing."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    mask = np.zeros(len(column), bool)
    mask[list(positions)] = True
    return pc.if_else(pa.array(mask), pa.scalar(None, column.type), column)


def marked(batch: pa.RecordBatch, cells: Mapping[int, Sequence[Cell]]) -> pa.RecordBatch:
    """Return a batch with :data:`COLUMN` if a row has such cells, and as it is if none has.

    :param cells: the cells of each row, by its position.
    """
    import pyarrow as pa

    if not cells:
        return batch
    kind = pa.list_(pa.struct([(name, pa.string()) for name in Cell._fields]))
    rows = [[cell._asdict() for cell in cells.get(row, ())] or None for row in range(batch.num_rows)]
    return batch.append_column(COLUMN, pa.array(rows, kind))


def taken(rows: pa.Table) -> tuple[pa.Table, dict[int, list[Cell]]]:
    """Return rows without :data:`COLUMN`, and the cells that it holds."""
    import numpy as np

    if COLUMN not in rows.column_names:
        return rows, {}
    column = rows[COLUMN]
    places = np.flatnonzero(column.is_valid().to_numpy()).tolist()
    cells = {
        row: [Cell(**cell) for cell in row_cells]
        for row, row_cells in zip(places, column.filter(column.is_valid()).to_pylist(), strict=True)
    }
    return rows.drop_columns([COLUMN]), cells


def noun(kind: str) -> str:
    """Return what a value of a type is called in a message."""
    return "a time" if kind.startswith(("timestamp", "date")) else kind


def quoted(text: str) -> str:
    """Return a text as messages show it: in quotes, and not longer than a line."""
    return repr(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")


def _failing(column: pa.Array, form: str, convert: Callable[[pa.Array], object]) -> list[int]:
    """Return the positions of values that cannot be converted, by their form, and then by trying ever smaller parts.

    :param form: regular expression of all that can be converted, and of little else: parts take long if most of them fail.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    failing: list[int] = pc.indices_nonzero(pc.invert(pc.match_substring_regex(column, form))).to_pylist()
    column = without(column, failing) if failing else column

    def search(start: int, length: int) -> None:
        try:
            convert(column.slice(start, length))
        except pa.ArrowInvalid:
            if length == 1:
                failing.append(start)
                return
            half = length // 2
            search(start, half)
            search(start + half, length - half)

    if len(column):
        search(0, len(column))
    return sorted(failing)


class Tally:
    """Count the cells of each column that cannot be read, and those that can; batch by batch."""

    def __init__(self) -> None:
        self.first: dict[str, list[Cell]] = {}
        self._texts: dict[str, list[str]] = {}
        self.counts: Counter[str] = Counter()
        self._valid: Counter[str] = Counter()

    def add(self, rows: pa.Table, cells: Mapping[int, Sequence[Cell]]) -> None:
        """Add rows, in which these cells are missing."""
        for name, column in zip(rows.column_names, rows.columns, strict=True):
            self._valid[name] += len(column) - column.null_count
        for row in sorted(cells):
            for cell in cells[row]:
                self.counts[cell.column] += 1
                first = self.first.setdefault(cell.column, [])
                if len(first) < SHOWN:
                    first.append(cell)
                texts = self._texts.setdefault(cell.column, [])
                if len(texts) < _SAMPLE:
                    texts.append(cell.text)

    def values(self, name: str) -> int:
        """Return how many values a column has, readable or not."""
        return self.counts[name] + self._valid[name]

    def written(self, name: str) -> str:
        """Return the options of CSV that would read the first texts of a column; nothing if none would."""
        import pyarrow as pa

        looks = Looks()
        # JSON has quotes around its texts.
        looks.add(pa.table({name: pa.array([text.strip('"') for text in self._texts[name]], pa.string())}))
        return "".join(hint.written() for hint in looks.hints())

    def sentence(self, name: str, *, masked: bool = False) -> str:
        """Say how many values of a column cannot be read, with the first of them.

        :param masked: show only where they stand.
        """
        cells, count = self.first[name], self.counts[name]
        shown = ", ".join(cell.place if masked else f"{quoted(cell.text)} ({cell.place})" for cell in cells)
        more = ", …" if count > len(cells) else ""
        what = f"{name!r} cannot be read as {noun(cells[0].type)}"
        return f"{what} in {count:,} of {self.values(name):,} values: {shown}{more}"
