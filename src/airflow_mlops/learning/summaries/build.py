"""Summaries of rows that come batch by batch, in memory that does not grow with them."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_mlops.learning import threads
from airflow_mlops.learning.summaries import sample, summary
from airflow_mlops.learning.summaries.sample import CategorySample
from airflow_mlops.learning.summaries.summary import Column, ColumnKind

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# Bytes of numbers that wait to be sorted, and most and fewest values of a column among them.
_WAITING = 32_000_000
_MOST, _FEWEST = 262_144, 32_768
# Summaries that are added up at a time.
_TOGETHER = 4
_LABELS = 10 * summary.CATEGORIES
_LONGEST = 100


def summarise(
    batches: Iterable[pa.RecordBatch | pa.Table],
    *,
    numeric: Sequence[str],
    categorical: Sequence[str],
    text: Sequence[str] = (),
) -> dict[str, Column]:
    """Summarise columns of some rows, by name, as many at a time as there are processors; see :class:`Summariser`."""
    summariser = Summariser(numeric, categorical, text=text)
    under_way: Iterable[None] = ()
    # Sorting, which is most of it, leaves the interpreter to other threads; one of them reads the next batch meanwhile.
    with ThreadPoolExecutor(threads.per_fit()) as pool:
        for batch in batches:
            deque(under_way, maxlen=0)
            under_way = summariser.taking(batch, pool.map)
        deque(under_way, maxlen=0)
    return summariser.columns()


class Summariser:
    """Summarise columns of rows that are handed in batch by batch.

    A column that is not there, is there twice, or has a type that is neither number nor category gets a summary that
    names the problem. Whole numbers are the same categories as equal fractions, since gaps turn one into the other.

    :param numeric: columns to be looked at as numbers: integers, fractions, decimals and booleans.
    :param categorical: columns to be looked at as categories: all these, text, times and dates.
    :param text: columns to be looked at as the lengths of their texts, in characters; an empty one is missing.
    :param beside: how many other summarisers are at work at the same time, and share the memory.
    """

    def __init__(
        self,
        numeric: Sequence[str],
        categorical: Sequence[str],
        beside: int = 0,
        text: Sequence[str] = (),
    ) -> None:
        chunk = _WAITING // (8 * max(len(numeric) + len(text), 1) * (beside + 1))
        chunk = min(max(chunk, _FEWEST), _MOST)
        self._cells: dict[str, _Numbers | _Labels] = {name: _Numbers(chunk) for name in numeric}
        self._cells |= {name: _Labels() for name in categorical}
        self._cells |= {name: _Lengths(chunk) for name in text}

    def add(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Take in some rows."""
        deque(self.taking(batch, map), maxlen=0)

    def taking(
        self, batch: pa.RecordBatch | pa.Table, spread: Callable[..., Iterable[None]]
    ) -> Iterable[None]:
        """Take in some rows: one column with each step of the iterable that is returned.

        :param spread: a ``map``, which may work on several columns at the same time.
        """
        return spread(lambda named: named[1].take(batch, named[0]), self._cells.items())

    def columns(self) -> dict[str, Column]:
        """Return the summaries of all rows, by column."""
        return {name: cells.summary() for name, cells in self._cells.items()}


class _Cells:
    """One column as it comes."""

    kind: ColumnKind

    def __init__(self) -> None:
        self.rows = 0
        self.missing = 0
        self.problem = ""

    def take(self, batch: pa.RecordBatch | pa.Table, name: str) -> None:
        import pyarrow as pa

        self.rows += batch.num_rows
        places = batch.schema.get_all_field_indices(name)
        if len(places) != 1:
            self.problem = (
                f"there are {len(places)} columns of this name" if places else "there is no such column"
            )
        elif not self.problem:
            cells = batch.column(places[0])
            if pa.types.is_null(cells.type):
                self.missing += len(cells)
            else:
                self.add(cells)

    def add(self, cells: pa.Array | pa.ChunkedArray) -> None:
        raise NotImplementedError

    def whole(self) -> Column:
        raise NotImplementedError

    def summary(self) -> Column:
        return summary.empty(self.kind, self.rows, self.problem) if self.problem else self.whole()


class _Numbers(_Cells):
    kind = ColumnKind.NUMERIC

    def __init__(self, chunk: int) -> None:
        super().__init__()
        self.chunk = chunk
        self.waiting: list[np.ndarray] = []
        self.count = 0
        self.infinite = 0
        self.levels: list[list[Column]] = []

    def add(self, cells: pa.Array | pa.ChunkedArray) -> None:
        import numpy as np
        import pyarrow as pa

        kind = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
        if not _is_number(kind):
            self.problem = f"it holds {kind}, not numbers"
            return
        if pa.types.is_boolean(kind):
            cells = cells.cast(pa.uint8())
        numbers = cells.cast(pa.float64(), safe=False)
        values: np.ndarray = (
            numbers.to_numpy()
            if isinstance(numbers, pa.ChunkedArray)
            else numbers.to_numpy(zero_copy_only=False)
        )
        finite = np.isfinite(values)
        if not finite.all():
            missing = int(np.isnan(values).sum())
            self.missing += missing
            self.infinite += int((~finite).sum()) - missing
            values = values[finite]
        for start in range(0, len(values), self.chunk):
            part = values[start : start + self.chunk]
            self.waiting.append(part)
            self.count += len(part)
            if self.count >= self.chunk:
                self._sort()

    def _sort(self) -> None:
        import numpy as np

        values = np.concatenate(self.waiting)
        values.sort()
        self.waiting, self.count = [], 0
        with np.errstate(all="ignore"):
            squares = float(values.var()) * len(values)
        low, high, count = float(values[0]), float(values[-1]), len(values)
        means, counts = summary.bins(*summary.collapse(values, None))
        self._keep(
            0, Column(ColumnKind.NUMERIC, count, 0, 0, means, counts, squares=squares, low=low, high=high)
        )

    def _keep(self, level: int, part: Column) -> None:
        """Keep a summary with those that were binned as often, so that none is binned more often than needed."""
        if level == len(self.levels):
            self.levels.append([])
        self.levels[level].append(part)
        if len(self.levels[level]) == _TOGETHER:
            parts, self.levels[level] = self.levels[level], []
            self._keep(level + 1, summary.compact(summary.merge(parts)))

    def whole(self) -> Column:
        from dataclasses import replace

        if self.count:
            self._sort()
        parts = [part for level in self.levels for part in level]
        whole = summary.compact(summary.merge(parts or [summary.empty(self.kind)]))
        return replace(whole, rows=self.rows, missing=self.missing, infinite=self.infinite)


class _Lengths(_Numbers):
    def add(self, cells: pa.Array | pa.ChunkedArray) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        kind = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            self.problem = f"it holds {kind}, not texts"
            return
        lengths = pc.utf8_length(cells.cast(kind))
        super().add(pc.if_else(pc.equal(lengths, 0), None, lengths))


class _Labels(_Cells):
    kind = ColumnKind.CATEGORICAL

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.others = 0
        # A sample of the categories of all rows but the recent ones, once there are too many to be counted one by one.
        self.sampled: CategorySample | None = None
        self.recent: Counter[str] = Counter()

    def add(self, cells: pa.Array | pa.ChunkedArray) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        kind = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
        written = _writer(kind)
        if written is None:
            self.problem = f"it holds {kind}, not categories"
            return
        tally = pc.value_counts(cells)
        values, counts = tally.field("values"), tally.field("counts")
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        counted: Counter[str] = Counter()
        for value, count in zip(values.to_pylist(), counts.to_pylist(), strict=True):
            if value is None or value != value:
                self.missing += count
            else:
                counted[written(value)] += count
        self.counts.update(counted)
        if self.sampled is not None:
            self.recent.update(counted)
        if len(self.counts) > _LABELS:
            self._take_sample()
            kept = dict(self.counts.most_common(summary.CATEGORIES))
            self.others += self.counts.total() - sum(kept.values())
            self.counts = Counter(kept)

    def whole(self) -> Column:
        if self.others:
            self._take_sample()
        return summary.categories(self.counts, self.rows, self.missing, self.others, sampled=self.sampled)

    def _take_sample(self) -> None:
        """Add the rows since the last time to the sample."""
        new = self.recent if self.sampled else self.counts
        recent = sample.of(list(new), [*new.values()])
        self.sampled = sample.merge([self.sampled, recent]) if self.sampled else recent
        self.recent = Counter()


def _is_number(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(
        types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    )


def _writer(kind: pa.DataType) -> Callable[..., str] | None:
    """Return a function that writes a value of a type as text; None if values of that type are no categories."""
    from pyarrow import types

    if types.is_floating(kind):
        return _number
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return _text
    if _is_number(kind) or types.is_temporal(kind):
        return str
    return None


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _text(value: str) -> str:
    if len(value) <= _LONGEST:
        return value
    return f"{value[:_LONGEST]}… {hashlib.sha256(value.encode()).hexdigest()[:16]}"
