"""Profiles: statistics of the columns of one partition, computed batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Any

from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import pyarrow as pa

VALUES = 50
"""Maximum number of different values that a profile counts; a column with more is not counted by value."""

LENGTH = 100
"""Maximum number of characters of a text that counts as a category."""

WORDS = 4
"""Words, on average, from which a column of many texts is proposed for its words."""


@dataclass
class Profile:
    """Statistics of one column of one partition.

    :param rows: number of rows.
    :param present: number of values that are neither null nor NaN.
    :param infinite: whether a value is infinite, so that mean and range mean nothing.
    :param low: least value of a column of numbers or times; None if it has none.
    :param high: largest value, likewise.
    :param mean: mean of a column of numbers.
    :param spaces: number of spaces in a column of texts.
    :param values: number of rows by value, for whole numbers and texts; None if the values are too many or
        too long.
    """

    rows: int = 0
    present: int = 0
    infinite: bool = False
    low: Any = None
    high: Any = None
    mean: float = 0.0
    spaces: int = 0
    values: dict[Any, int] | None = field(default_factory=dict)
    _squares: float = 0.0

    @property
    def missing(self) -> float:
        """Share of rows without a value."""
        return 1 - self.present / self.rows if self.rows else 0.0

    @property
    def deviation(self) -> float:
        """Standard deviation of a sample."""
        return sqrt(self._squares / (self.present - 1)) if self.present > 1 else 0.0

    def add(self, column: pa.Array) -> None:
        """Add the rows of a batch."""
        import pyarrow as pa
        import pyarrow.compute as pc

        self.rows += len(column)
        if pa.types.is_floating(column.type):
            column = column.filter(pc.invert(pc.is_nan(column)), null_selection_behavior="drop")
            self.infinite = self.infinite or bool(pc.any(pc.is_inf(column)).as_py())
        column = column.drop_null()
        if not len(column):
            return
        if pa.types.is_string(column.type):
            self.spaces += pc.sum(pc.count_substring(column, " ")).as_py()
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
        self.present += len(column)

    def _add_moments(self, column: pa.Array) -> None:
        import pyarrow as pa

        # The parallel form of Welford's update (Chan, Golub, LeVeque 1983).
        numbers = column.cast(pa.float64(), safe=False).to_numpy()
        count, mean = len(numbers), float(numbers.mean())
        apart, total = mean - self.mean, self.present + count
        self._squares += float(((numbers - mean) ** 2).sum()) + apart**2 * self.present * count / total
        self.mean += apart * count / total

    def _add_values(self, column: pa.Array) -> None:
        import pyarrow.compute as pc

        if self.values is None:
            return
        counts = pc.value_counts(column)
        if len(counts) <= VALUES:
            for value_count in counts.to_pylist():
                self.values[value_count["values"]] = (
                    self.values.get(value_count["values"], 0) + value_count["counts"]
                )
        long = any(isinstance(value, str) and len(value) > LENGTH for value in self.values)
        if len(counts) > VALUES or len(self.values) > VALUES or long:
            self.values = None


def is_number(kind: pa.DataType) -> bool:
    """Return whether columns of a type hold numbers."""
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def as_text(name: str, profiles: Sequence[Profile]) -> Iterator[str]:
    """Propose a column for its words rather than as a category: texts of several words, too many or too long for a set."""
    spaces = sum(profile.spaces for profile in profiles)
    present = sum(profile.present for profile in profiles)
    if present and spaces >= (WORDS - 1) * present and any(profile.values is None for profile in profiles):
        words = f"{1 + spaces / present:.0f} words on average"
        yield f"# {name}: texts of {words}; as a feature list it under features.text, not categorical."


def measure(uri: str, version: int, partition: str) -> Mapping[str, Profile]:
    """Return a profile of every column of one partition of a table, by the column's name."""
    reader = tables.batches(uri, version=version, partition=partition)
    profiles = {name: Profile() for name in reader.schema.names}
    for batch in reader:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            profiles[name].add(column)
    return profiles
