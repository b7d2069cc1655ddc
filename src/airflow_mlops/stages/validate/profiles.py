"""Profiles: what the columns of one partition hold, measured batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Any

from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import pyarrow as pa

VALUES = 50
"""Different values of a column that are kept; of a column with more none are."""

LENGTH = 100
"""Characters of the longest text that counts as a category."""


@dataclass
class Profile:
    """One column of one partition.

    :param known: values that are neither null nor not a number.
    :param infinite: whether a value is infinite, so that mean and range say nothing.
    :param low: least value of a column of numbers or times; None without one.
    :param values: rows by value, of whole numbers and texts; None if there are too many or too long ones.
    """

    rows: int = 0
    known: int = 0
    infinite: bool = False
    low: Any = None
    high: Any = None
    mean: float = 0.0
    values: dict[Any, int] | None = field(default_factory=dict)
    _squares: float = 0.0

    @property
    def missing(self) -> float:
        """Share of rows without a value."""
        return 1 - self.known / self.rows if self.rows else 0.0

    @property
    def deviation(self) -> float:
        """Standard deviation of a sample."""
        return sqrt(self._squares / (self.known - 1)) if self.known > 1 else 0.0

    def add(self, column: pa.Array) -> None:
        """Take in some rows."""
        import pyarrow as pa
        import pyarrow.compute as pc

        self.rows += len(column)
        if pa.types.is_floating(column.type):
            column = column.filter(pc.invert(pc.is_nan(column)), null_selection_behavior="drop")
            self.infinite = self.infinite or bool(pc.any(pc.is_inf(column)).as_py())
        column = column.drop_null()
        if not len(column):
            return
        if pa.types.is_integer(column.type) or pa.types.is_string(column.type):
            self._add_values(column)
        else:
            self.values = None
        if is_number(column.type) or pa.types.is_timestamp(column.type):
            ends = pc.min_max(column).as_py()
            self.low = ends["min"] if self.low is None else min(self.low, ends["min"])
            self.high = ends["max"] if self.high is None else max(self.high, ends["max"])
        if is_number(column.type) and not self.infinite:
            self._add_moments(column)
        self.known += len(column)

    def _add_moments(self, column: pa.Array) -> None:
        import pyarrow as pa

        # The parallel form of Welford's update (Chan, Golub, LeVeque 1983).
        numbers = column.cast(pa.float64(), safe=False).to_numpy()
        count, mean = len(numbers), float(numbers.mean())
        apart, total = mean - self.mean, self.known + count
        self._squares += float(((numbers - mean) ** 2).sum()) + apart**2 * self.known * count / total
        self.mean += apart * count / total

    def _add_values(self, column: pa.Array) -> None:
        import pyarrow.compute as pc

        if self.values is None:
            return
        counts = pc.value_counts(column)
        if len(counts) <= VALUES:
            for each in counts.to_pylist():
                self.values[each["values"]] = self.values.get(each["values"], 0) + each["counts"]
        long = any(isinstance(value, str) and len(value) > LENGTH for value in self.values)
        if len(counts) > VALUES or len(self.values) > VALUES or long:
            self.values = None


def is_number(kind: pa.DataType) -> bool:
    """Tell whether a column of a type holds numbers."""
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def measure(uri: str, version: int, partition: str) -> Mapping[str, Profile]:
    """Measure every column of one partition of a table."""
    reader = tables.batches(uri, version=version, partition=partition)
    found = {name: Profile() for name in reader.schema.names}
    for batch in reader:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            found[name].add(column)
    return found
