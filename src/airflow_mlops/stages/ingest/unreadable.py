"""Rows with a cell that cannot be read as the type of its column: told, or kept apart for validation to set aside."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.stages.ingest.releases import REASONS, UNREADABLE
from airflow_mlops.stores.sources.kinds import masking
from airflow_mlops.stores.sources.source import MarkingSource
from airflow_mlops.stores.sources.unreadable import (
    Cell,
    Tally,
    is_legible,
    is_number,
    is_text,
    misfits,
    noun,
    plain,
    quoted,
    taken,
    trimmed,
    without,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.stores.sources.source import Source

_MOST = 0.5
"""Share of a column's values that may be unreadable; of more, it is the format of the column that has changed."""
_FIX = (
    "set such rows aside (on_unreadable: quarantine), or keep the column as text from the first partition on"
)
_FIX_DECLARED = (
    "list under nulls what stands for a missing value in CSV, set such rows aside (on_unreadable: quarantine), or list the "
    "column under features.categorical"
)

Cells = dict[int, list[Cell]]
"""The cells of a batch that cannot be read, by the position of their row."""


class Unreadable:
    """Look for cells of one partition that cannot be read, batch by batch.

    :param event_time: the column of event time, which must be a time whatever is published.
    :param published: types of columns that are already published.
    :param declared: types that columns must have: all text in them is read as such. One that is published as text stays
        text, and its cells are held to the type all the same, since a model reads numbers of it.
    :param is_prepared: whether a transform prepares the rows, so that published types are those of what it returns.
    :param keeps_apart: whether such rows are kept apart; if not, :meth:`check` refuses the partition.
    :param pii: columns whose values no message shows.
    :param where: partition and source, for messages.
    """

    def __init__(
        self,
        event_time: str,
        published: Mapping[str, pa.DataType],
        declared: Mapping[str, pa.DataType],
        *,
        is_prepared: bool,
        keeps_apart: bool,
        pii: Collection[str] = (),
        where: str,
    ) -> None:
        self._event_time = event_time
        self._published = published
        self._declared = declared
        self._expected = {**declared, **published}
        self._is_prepared = is_prepared
        self._keeps_apart = keeps_apart
        self._pii = pii
        self._where = where
        self._tally = Tally()
        self._rows = 0
        self._marking: MarkingSource | None = None
        self._texts: dict[str, str] = {}

    def batches(
        self, source: Source, partition: Partition, types: Mapping[str, pa.DataType]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a source, with its own marks if it makes any.

        :param types: types of columns that are already published.
        """
        published = {name: str(kind) for name, kind in types.items()}
        self._marking = source if isinstance(source, MarkingSource) else None
        if not isinstance(source, MarkingSource):
            return source.batches(partition, published)
        expected: dict[str, str] = {}
        if not self._is_prepared:
            names = {name: str(kind) for name, kind in self._expected.items()}
            expected = {self._event_time: "timestamp[us, tz=UTC]", **names}
        return masking(source.marked(partition, published, expected), self._pii)

    def taken(self, rows: pa.Table) -> tuple[pa.Table, Cells]:
        """Return the rows of a batch as the dataset has them, and the cells that its source has marked."""
        return taken(rows) if self._marking else (rows, {})

    def read(self, rows: pa.Table, cells: Cells) -> pa.Table:
        """Read columns of text as the types that they must have, and add to the cells what cannot be read.

        Times stay text: their time zone is seen to elsewhere, for the columns that :meth:`times` names.

        :raises SchemaMismatch: if a transform returns text that its source may write in another notation.
        """
        import pyarrow as pa

        for place, column in enumerate(rows.schema):
            is_time = column.name == self._event_time
            kind = pa.timestamp("us", "UTC") if is_time else self._expected.get(column.name)
            stays_text = kind is not None and is_text(kind)
            kind = self._declared.get(column.name) if stays_text else kind
            if kind is None or not is_text(column.type) or not is_legible(kind):
                continue
            if not is_time and not stays_text:
                self._refuse_notation(column, kind)
            values = plain(rows[column.name]).combine_chunks()
            wrong = misfits(values, kind)
            for row in wrong:
                where = f"row {self._rows + row + 1:,}"
                cells.setdefault(row, []).append(Cell(column.name, values[row].as_py(), str(kind), where))
            rest = without(values, wrong)
            if not is_time and not stays_text:
                if column.name not in self._declared:
                    self._texts[column.name] = f"{column.type}, was {kind}"
                rest, kind = self._converted(column.name, rest, kind)
            rows = rows.set_column(place, column.name, pa.chunked_array([rest]))
        return rows

    def times(self, rows: pa.Table) -> list[str]:
        """Return the columns of text that must be times."""
        import pyarrow as pa

        return [
            column.name
            for column in rows.schema
            if is_text(column.type) and pa.types.is_temporal(self._expected.get(column.name, column.type))
        ]

    def _refuse_notation(self, column: pa.Field, kind: pa.DataType) -> None:
        """Refuse text behind a transform that may still be in its source's notation: ``1.234`` may be 1234 there."""
        if not self._is_prepared or self._marking is None:
            return
        if not self._marking.is_plain(number=is_number(kind)):
            options = "decimal, thousands or nulls" if is_number(kind) else "nulls"
            said = _said(column.name, kind)
            raise SchemaMismatch(
                f"{self._where}: column {column.name!r} is {column.type} after the transform, and must be {kind}. A cell that "
                f"cannot be read makes a column of a file text, and {options} of the source are not applied to text: if the "
                f"source has a column of this name, say there what it holds ({said}), so that such cells are missing in it; "
                f"else return {noun(str(kind))} from the transform"
            )

    def _converted(self, name: str, texts: pa.Array, kind: pa.DataType) -> tuple[pa.Array, pa.DataType]:
        import pyarrow as pa

        if pa.types.is_temporal(kind):
            return texts, texts.type
        for narrow in (kind, pa.float64()):
            try:
                return trimmed(texts).cast(narrow), narrow
            except pa.ArrowInvalid:
                continue
        raise SchemaMismatch(f"{self._where}: {name!r} is text whose values do not fit {kind}")

    def add(self, rows: pa.Table, cells: Cells) -> None:
        """Count the rows of a batch, in the types of the dataset."""
        self._tally.add(rows, cells)
        self._rows += rows.num_rows

    def check(self) -> None:
        """Check the cells of all rows that were added.

        :raises SchemaMismatch: if some cannot be read and their rows are not kept apart, or if these are more than half
            of the values of a column.
        """
        counts = self._tally.counts
        changed = [name for name, count in counts.items() if count > _MOST * self._tally.values(name)]
        if changed:
            raise SchemaMismatch(
                f"{self._where}: {'; '.join(self._told(name) + self._other(name) for name in changed)}"
            )
        if self._keeps_apart:
            return
        if problems := list(dict.fromkeys([*self._texts, *counts])):
            is_declared = any(name in self._declared for name in problems)
            fix = _FIX_DECLARED if is_declared else _FIX
            raise SchemaMismatch(
                f"{self._where}: {'; '.join(map(self._told, problems))}; correct them, {fix}"
            )

    def _other(self, name: str) -> str:
        """Say what to do about a column that can hardly be read at all."""
        if written := self._tally.written(name):
            return f"; of so many the notation is another: write {written} if it is read from CSV, or change it in the source"
        if name in self._declared and name not in self._published:
            return (
                "; of so many it is none: correct the source, or list the column under features.categorical"
            )
        return "; of so many the format has changed: correct the source, or give the column another name"

    def _told(self, name: str) -> str:
        about = (
            f"column {name!r} is {self._texts[name]} (no policy allows that)" if name in self._texts else ""
        )
        cannot = self._tally.sentence(name, masked=name in self._pii) if name in self._tally.counts else ""
        return ": ".join(filter(None, (about, cannot)))


def divided(rows: pa.Table, cells: Cells) -> tuple[pa.Table, pa.Table | None]:
    """Return the rows without unreadable cells, and those with some, which have two columns more that say which.

    None stands for no such rows.
    """
    import numpy as np
    import pyarrow as pa

    if not cells:
        return rows, None
    places = sorted(cells)
    keep = np.ones(rows.num_rows, bool)
    keep[places] = False
    reasons = ["; ".join(map(_reason, cells[place])) for place in places]
    texts = [text_of(cells[place]) for place in places]
    apart = rows.take(places)
    apart = apart.append_column(REASONS, pa.array(reasons, pa.string()))
    return rows.filter(pa.array(keep)), apart.append_column(UNREADABLE, pa.array(texts, pa.string()))


def complete(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return the rows that have a value in each of some columns, which alone can be held to what rows promise."""
    import pyarrow.compute as pc

    for name in names:
        rows = rows.filter(pc.is_valid(rows[name]))
    return rows


def text_of(cells: Sequence[Cell]) -> str:
    """Return cells as a text that stays the same wherever their row stands."""
    return json.dumps({cell.column: cell.text for cell in cells}, sort_keys=True, ensure_ascii=False)


def _said(name: str, kind: pa.DataType) -> str:
    """Return what a source of files says of a column of a type."""
    import pyarrow as pa

    if pa.types.is_temporal(kind):
        return f"times: {{{name}: '%Y-%m-%d %H:%M:%S'}}, in its format"
    whole = "bool" if pa.types.is_boolean(kind) else "int64"
    return f"types: {{{name}: {whole if not is_number(kind) or pa.types.is_integer(kind) else 'double'}}}"


def _reason(cell: Cell) -> str:
    return f"{cell.column} cannot be read as {noun(cell.type)}: {quoted(cell.text)} ({cell.place})"
