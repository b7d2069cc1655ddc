"""Times without an offset, read as the clocks of a time zone show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mlops.domain.offsets import first_instant, zone_of
from airflow_mlops.exceptions import BadRows, SchemaMismatch
from airflow_mlops.stores import zones
from airflow_mlops.stores.arrow import micros, times_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Places = Callable[[Sequence[int]], list[str]]
"""Says where the rows are that have so many rows before them, in ascending order; says nothing if it cannot tell."""

_SHOWN = 3


@dataclass
class _Refused:
    """Times of one column that are none, or two.

    :param first: the first few, each with the number of rows before it, and as text if it may be shown.
    """

    count: int = 0
    first: list[tuple[int, str | None]] = field(default_factory=list)

    def shown(self, places: Places | None) -> str:
        """List the first few, with where they are."""
        numbers = [before for before, _ in self.first]
        lines = places(numbers) if places else []
        if len(lines) < len(numbers):
            lines = [f"row {before + 1:,}" for before in numbers]
        return ", ".join(
            f"{text} in {line}" if text else line for (_, text), line in zip(self.first, lines, strict=True)
        )


class Clocks:
    """Read the times of a partition that have no offset, batch by batch, and remember those that cannot be read.

    :param timezone: time zone whose clocks show them; in UTC, each time occurs once.
    :param ambiguous: which one is meant by a time that occurs twice, ``earlier`` or ``later``; None refuses it.
    :param where: what the rows are, for messages.
    """

    def __init__(self, timezone: str, ambiguous: str | None, where: str) -> None:
        self._timezone, self._zone = timezone, zone_of(timezone)
        self._ambiguous = ambiguous
        self._where = where
        self._rows = 0
        self._twice: dict[str, _Refused] = {}
        self._never: dict[str, _Refused] = {}

    def read(self, rows: pa.Table, times: Sequence[str]) -> pa.Table:
        """Return rows in which all times are instants; those that cannot be read are null until :meth:`check`.

        :param times: columns that are times even if they are text; a text is read with its offset, if it has one.
        :raises SchemaMismatch: if one of them is no time, or times without an offset lie within lists or objects.
        """
        import pyarrow as pa

        for position, (name, column) in enumerate(zip(rows.column_names, rows.columns, strict=True)):
            try:
                read = self._named(name, column) if name in times else self._other(name, column)
            except pa.ArrowTypeError:
                raise SchemaMismatch(f"{self._where}: {name!r} is {column.type}, not a time") from None
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise SchemaMismatch(f"{self._where}: {name!r} cannot be read as a time: {error}") from error
            if read is not column:
                rows = rows.set_column(position, name, read)
        self._rows += rows.num_rows
        return rows

    def check(self, places: Places | None = None) -> None:
        """Check all times that were read.

        :param places: where the rows are; None numbers them.
        :raises BadRows: if some occur twice or never, with their number, and the first of them.
        """
        problems = [
            f"{refused.count:,} times of {name!r} occur twice in {self._timezone}, as clocks are set back "
            f"({refused.shown(places)}): write them with their offset, or say which is meant (ambiguous: earlier, or "
            "later)"
            for name, refused in self._twice.items()
        ]
        problems += [
            f"{refused.count:,} times of {name!r} never occur in {self._timezone}, as clocks are set ahead "
            f"({refused.shown(places)}): write them with their offset, or correct the time zone (timezone)"
            for name, refused in self._never.items()
        ]
        if problems:
            raise BadRows(f"{self._where}: {'; '.join(problems)}")

    def _named(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        import pyarrow.compute as pc

        with_offset, without = times_of(column)
        instants = self._instants(name, without, show=True)
        return instants if with_offset is None else pc.coalesce(with_offset, instants)

    def _other(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        if self._timezone == "UTC":
            return column
        if zones.is_naive(column.type):
            return self._instants(name, column, show=False)
        if zones.has_naive(column.type):
            raise SchemaMismatch(
                f"{self._where}: {name!r} is {column.type}, in which times have no offset, so that they cannot be read in "
                f"{self._timezone}: make columns of them, or write them with their offset"
            )
        return column

    def _instants(self, name: str, column: pa.ChunkedArray, *, show: bool) -> pa.ChunkedArray:
        """Return times and dates without an offset as instants."""
        import numpy as np
        import pyarrow as pa

        utc = pa.timestamp("us", "UTC")
        if self._timezone == "UTC":
            return micros(column).cast(utc)
        is_date = pa.types.is_date(column.type)
        shown = micros(column).cast(pa.timestamp("us")).to_numpy()
        first, last = zones.instants(shown, self._zone)
        if is_date:
            self._begin(first, shown)
        else:
            never = np.isnat(first) & ~np.isnat(shown)
            self._remember(self._never, name, shown, never, show=show)
            if self._ambiguous is None:
                twice = (first != last) & ~np.isnat(first)
                self._remember(self._twice, name, shown, twice, show=show)
                first[twice] = np.datetime64("NaT")
        instants = last if self._ambiguous == "later" and not is_date else first
        return pa.chunked_array([pa.array(instants).cast(utc)])

    def _begin(self, first: np.ndarray, shown: np.ndarray) -> None:
        """Fill in the beginning of days that have no midnight."""
        import numpy as np

        without = np.isnat(first) & ~np.isnat(shown)
        for midnight in np.unique(shown[without]):
            instant = first_instant(midnight.item(), self._zone).replace(tzinfo=None)
            first[shown == midnight] = np.datetime64(instant, "us")

    def _remember(
        self, refused: dict[str, _Refused], name: str, shown: np.ndarray, which: np.ndarray, *, show: bool
    ) -> None:
        import numpy as np

        places = np.flatnonzero(which)
        if not places.size:
            return
        of = refused.setdefault(name, _Refused())
        of.count += int(places.size)
        for place in places[: _SHOWN - len(of.first)].tolist():
            # Times of other columns may be personal, and this ends up in the log.
            value = str(shown[place].item()) if show else None
            of.first.append((self._rows + place, value))
