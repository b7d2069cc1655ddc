"""Expectations about a partition and those before it, which Great Expectations does not have."""

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
"""What the names of these expectations end in."""

LAST = 3
"""Partitions to compare with, where none are said."""


def _known(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(column.type):
        column = column.filter(pc.invert(pc.is_nan(column)))
    return column.drop_null()


def _nulls(column: pa.ChunkedArray) -> float | None:
    return 1 - len(_known(column)) / len(column) if len(column) else None


def _by(name: str, **options: Any) -> Callable[[pa.ChunkedArray], float | None]:
    def computed(column: pa.ChunkedArray) -> float | None:
        import pyarrow as pa
        import pyarrow.compute as pc

        values = _known(column)
        if not len(values) and name != "count_distinct":
            return None
        if pa.types.is_decimal(values.type) or pa.types.is_boolean(values.type):
            values = values.cast(pa.float64())
        found = getattr(pc, name)(values, **options)
        value = (found[0] if name == "quantile" else found).as_py()
        return None if value is None else float(value)

    return computed


class PartitionStatistic(NamedTuple):
    """A number that is compared between partitions.

    :param words: what it is called.
    :param of: computes it from a column; None for the count of rows.
    :param share: whether it is a share, whose tolerance is counted in shares and not relative to it.
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
"""Statistics by what stands between ``expect_`` and :data:`PARTITIONS`."""


@dataclass(frozen=True)
class History:
    """The partitions that were published before one.

    :param uri: URI of the published data.
    :param partition: key of the partition that is validated.
    """

    uri: str
    partition: str

    @cached_property
    def earlier(self) -> tuple[DatasetVersion, ...]:
        """The latest version of each earlier partition, the last partition first."""
        newest = tables.newest(self.uri)
        return tuple(newest[key] for key in sorted(newest, reverse=True) if key < self.partition)

    def values(self, statistic: PartitionStatistic, column: str | None, partitions: int) -> dict[str, float]:
        """Return a statistic of the last partitions, by key; one that has no such number is left out."""
        found = {each.partition: self._value(each, statistic, column) for each in self.earlier[:partitions]}
        return {key: value for key, value in found.items() if value is not None and isfinite(value)}

    def _value(self, each: DatasetVersion, statistic: PartitionStatistic, column: str | None) -> float | None:
        if statistic.of is None or column is None:
            return float(each.rows)
        if column not in each.columns:
            return None
        rows = tables.read(self.uri, version=each.version, partition=each.partition, columns=[column])
        return statistic.of(rows[column])


def statistic_of(name: str) -> PartitionStatistic:
    """Return the statistic that one of our expectations is about."""
    return STATISTICS[name.removeprefix("expect_").removesuffix(f"_{PARTITIONS}")]


def compare(each: Expectation, table: pa.Table, history: History | None) -> ExpectationResult:
    """Hold a statistic of the rows to the median of the same in the last partitions.

    It may differ by ``tolerance`` times that median, or for a share by ``tolerance`` itself. Without an earlier
    partition there is nothing to compare with, and it passes.

    :param table: the rows, with the column that it is about.
    :param history: None if the rows belong to no dataset, so that it cannot be evaluated.
    """
    from statistics import median

    statistic, column = statistic_of(each.expectation), each.args.get("column")
    tolerance, last = each.args["tolerance"], int(each.args.get("partitions") or LAST)
    allowed = f"± {tolerance:g}" if statistic.share else f"± {tolerance:.3g} of it"
    aim = f"near the median of the last {_counted(last)} ({allowed})"
    if history is None:
        return _result(
            each, column, Outcome.ERROR, aim, "could not be evaluated: needs a dataset's partitions"
        )
    try:
        value = float(table.num_rows) if statistic.of is None else statistic.of(table[column])
        before = history.values(statistic, column, last)
    except Exception as error:  # noqa: BLE001 - text has no mean, tables may be torn: the others still have to run
        short = (str(error).strip() or type(error).__name__).partition("\n")[0]
        return _result(each, column, Outcome.ERROR, aim, f"could not be evaluated: {short[:200]}")
    if not before:
        return _result(
            each, column, Outcome.PASS, aim, f"{_shown(value)}; no earlier partition to compare with"
        )
    middle = median(before.values())
    room = tolerance if statistic.share else tolerance * abs(middle)
    keys = f"{min(before)} to {max(before)}" if len(before) > 1 else min(before)
    expected = (
        f"between {_shown(middle - room)} and {_shown(middle + room)}: "
        f"{_shown(middle)} {allowed}, the median of {keys}"
    )
    # What is no number, or infinite, is near nothing.
    holds = value is not None and isfinite(value) and abs(value - middle) <= room
    return _result(each, column, Outcome.PASS if holds else Outcome.FAIL, expected, _shown(value))


def _counted(partitions: int) -> str:
    return "partition" if partitions == 1 else f"{partitions} partitions"


def _shown(value: float | None) -> str:
    if value is None:
        return "null"
    return f"{value:,.0f}" if value == round(value, 0) and abs(value) < 1e15 else text(float(f"{value:.6g}"))


def _result(
    each: Expectation, column: str | None, outcome: Outcome, expected: str, observed: str
) -> ExpectationResult:
    return ExpectationResult(
        expectation=each.expectation,
        column=column,
        severity=each.severity,
        outcome=outcome,
        expected=expected,
        observed=observed,
    )
