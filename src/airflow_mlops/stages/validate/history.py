"""Expectations that compare a partition with earlier ones, which Great Expectations does not have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain.checks import Outcome
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.facts.validation import ExpectationResult
from airflow_mlops.stages.validate.words import text
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.spec.model import Expectation

PARTITIONS = "to_be_near_last_partitions"
"""Ending of the names of these expectations."""

LAST = 3
"""Number of partitions to compare with, unless an expectation sets ``partitions``."""


def _without_nulls(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(column.type):
        column = column.filter(pc.invert(pc.is_nan(column)))
    return column.drop_null()


def _nulls(column: pa.ChunkedArray) -> float | None:
    return 1 - len(_without_nulls(column)) / len(column) if len(column) else None


def _by(name: str, **options: Any) -> Callable[[pa.ChunkedArray], float | None]:
    def computed(column: pa.ChunkedArray) -> float | None:
        import pyarrow as pa
        import pyarrow.compute as pc

        present = _without_nulls(column)
        if not len(present) and name != "count_distinct":
            return None
        if pa.types.is_decimal(present.type) or pa.types.is_boolean(present.type):
            present = present.cast(pa.float64())
        statistic = getattr(pc, name)(present, **options)
        number = (statistic[0] if name == "quantile" else statistic).as_py()
        return None if number is None else float(number)

    return computed


class PartitionStatistic(NamedTuple):
    """A number that is compared between partitions.

    :param words: its name in messages.
    :param of: computes it from a column; None for the count of rows.
    :param share: whether it is a share, whose tolerance is absolute and not relative to the median.
    """

    words: str
    of: Callable[[pa.ChunkedArray], float | None] | None
    share: bool = False


STATISTICS = {
    "table_row_count": PartitionStatistic("row count", None),
    "column_mean": PartitionStatistic("mean", _by("mean")),
    "column_median": PartitionStatistic("median", _by("quantile", q=0.5)),
    "column_stdev": PartitionStatistic("standard deviation", _by("stddev", ddof=1)),
    "column_min": PartitionStatistic("least value", _by("min")),
    "column_max": PartitionStatistic("largest value", _by("max")),
    "column_sum": PartitionStatistic("sum", _by("sum")),
    "column_unique_value_count": PartitionStatistic("count of different values", _by("count_distinct")),
    "column_proportion_of_null_values": PartitionStatistic("share of nulls", _nulls, share=True),
}
"""Statistics by the part of an expectation's name between ``expect_`` and :data:`PARTITIONS`."""


@dataclass(frozen=True)
class History:
    """The published partitions that are earlier than the one validated.

    :param uri: URI of the published data.
    :param partition: key of the partition that is validated.
    """

    uri: str
    partition: str

    @cached_property
    def earlier(self) -> tuple[DatasetVersion, ...]:
        """The newest version of every earlier partition, the latest partition first."""
        newest = tables.newest(self.uri)
        return tuple(newest[key] for key in sorted(newest, reverse=True) if key < self.partition)

    def values(self, statistic: PartitionStatistic, column: str | None, partitions: int) -> dict[str, float]:
        """Return a statistic of the last partitions by key, where it is a finite number."""
        statistics = {
            version.partition: self._value(version, statistic, column)
            for version in self.earlier[:partitions]
        }
        return {key: value for key, value in statistics.items() if value is not None and isfinite(value)}

    def _value(
        self, version: DatasetVersion, statistic: PartitionStatistic, column: str | None
    ) -> float | None:
        if statistic.of is None or column is None:
            return float(version.rows)
        if column not in version.columns:
            return None
        rows = tables.read(self.uri, version=version.version, partition=version.partition, columns=[column])
        return statistic.of(rows[column])


def statistic_of(name: str) -> PartitionStatistic:
    """Return the statistic that an expectation of ours compares."""
    return STATISTICS[name.removeprefix("expect_").removesuffix(f"_{PARTITIONS}")]


def compare(expectation: Expectation, table: pa.Table, history: History | None) -> ExpectationResult:
    """Compare a statistic of the rows with the median of the same statistic in the last partitions.

    It may differ by ``tolerance`` times that median; a share may differ by ``tolerance`` itself. Without an
    earlier partition there is nothing to compare with, and the expectation passes.

    :param table: the rows, with the column that the expectation names.
    :param history: None if the rows belong to no dataset, so that the expectation cannot be evaluated.
    """
    from statistics import median

    statistic, column = statistic_of(expectation.expectation), expectation.args.get("column")
    tolerance, last = expectation.args["tolerance"], int(expectation.args.get("partitions") or LAST)
    allowed = f"± {tolerance:g}" if statistic.share else f"± {tolerance:.3g} of it"
    aim = f"near the median of the last {_counted(last)} ({allowed})"
    if history is None:
        return _result(
            expectation, column, Outcome.ERROR, aim, "could not be evaluated: needs a dataset's partitions"
        )
    try:
        value = float(table.num_rows) if statistic.of is None else statistic.of(table[column])
        before = history.values(statistic, column, last)
    except Exception as error:  # noqa: BLE001 - text has no mean, tables may be torn: the others still have to run
        short = (str(error).strip() or type(error).__name__).partition("\n")[0]
        return _result(expectation, column, Outcome.ERROR, aim, f"could not be evaluated: {short[:200]}")
    if not before:
        return _result(
            expectation, column, Outcome.PASS, aim, f"{_shown(value)}; no earlier partition to compare with"
        )
    middle = median(before.values())
    room = tolerance if statistic.share else tolerance * abs(middle)
    keys = f"{min(before)} to {max(before)}" if len(before) > 1 else min(before)
    expected = (
        f"between {_shown(middle - room)} and {_shown(middle + room)}: "
        f"{_shown(middle)} {allowed}, the median of {keys}"
    )
    # A statistic that is missing or infinite is near nothing.
    holds = value is not None and isfinite(value) and abs(value - middle) <= room
    return _result(expectation, column, Outcome.PASS if holds else Outcome.FAIL, expected, _shown(value))


def _counted(partitions: int) -> str:
    return "partition" if partitions == 1 else f"{partitions} partitions"


def _shown(value: float | None) -> str:
    if value is None:
        return "null"
    return f"{value:,.0f}" if value == round(value, 0) and abs(value) < 1e15 else text(float(f"{value:.6g}"))


def _result(
    expectation: Expectation, column: str | None, outcome: Outcome, expected: str, observed: str
) -> ExpectationResult:
    return ExpectationResult(
        expectation=expectation.expectation,
        column=column,
        severity=expectation.severity,
        outcome=outcome,
        expected=expected,
        observed=observed,
    )
