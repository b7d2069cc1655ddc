from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.engines import ingest, tables
from airflow_mlops.exceptions import BadRows, EmptyPartition, SchemaMismatch

JANUARY = Partition.parse("2013-01", "month")


@dataclass(frozen=True)
class Given:
    """A source of given columns."""

    columns: dict[str, Any]

    def read(self, partition: Partition) -> pa.Table:
        return pa.table(self.columns)

    def describe(self, partition: Partition) -> str:
        return f"given-{partition.key}.csv"


def make_columns(**changes: Any) -> dict[str, Any]:
    return {
        "id": [1, 2],
        "at": ["2013-01-01", "2013-01-31 23:59:59"],
        "x": [1.5, None],
        "late": [0, 1],
    } | changes


def read(columns: dict[str, Any], **arguments: Any) -> pa.Table:
    return ingest.ingest(Given(columns), JANUARY, key=["id"], event_time="at", **arguments)


def schema() -> dict[str, str]:
    return tables.schema_of(read(make_columns()))


def test_text_times_become_utc_times() -> None:
    assert str(read(make_columns()).schema.field("at").type) == "timestamp[us, tz=UTC]"


def test_no_rows_fail_with_partition_and_source() -> None:
    with pytest.raises(EmptyPartition, match=r"partition 2013-01 of given-2013-01.csv has no rows"):
        read({name: pa.array([], pa.string()) for name in make_columns()})


def test_missing_columns_are_named() -> None:
    with pytest.raises(
        SchemaMismatch, match=r"given-2013-01.csv lacks 'target'; it has 'id', 'at', 'x', 'late'"
    ):
        read(make_columns(), required=["target"])


def test_every_difference_of_the_schema_is_named() -> None:
    odd = make_columns(x=["a", "b"], extra=[1, 2])
    del odd["late"]
    with pytest.raises(SchemaMismatch) as caught:
        read(odd, expected=schema())
    assert "partition 2013-01 of given-2013-01.csv has another schema" in str(caught.value)
    for difference in ("'late' is lost", "'extra' is new", "'x' is string, was double"):
        assert difference in str(caught.value)


def test_whole_numbers_and_columns_without_values_take_the_type_they_had() -> None:
    assert tables.schema_of(read(make_columns(x=[1, 2]), expected=schema())) == schema()
    assert tables.schema_of(read(make_columns(x=[None, None]), expected=schema())) == schema()


def test_repeated_keys_are_refused_with_an_example() -> None:
    with pytest.raises(BadRows, match=r"1 keys stand more than once, for example {'id': 1}"):
        read(make_columns(id=[1, 1]))


def test_missing_keys_are_refused() -> None:
    with pytest.raises(BadRows, match="1 rows have no 'id'"):
        read(make_columns(id=[1, None]))


def test_event_times_outside_of_the_partition_are_refused() -> None:
    with pytest.raises(BadRows, match="runs from 2013-01-01 00:00 to 2013-02-01 00:00, outside of"):
        read(make_columns(at=[datetime(2013, 1, 1), datetime(2013, 2, 1)]))  # noqa: DTZ001


def test_a_column_that_is_no_time_is_refused() -> None:
    with pytest.raises(SchemaMismatch, match="'at' is int64, not a time"):
        read(make_columns(at=[1, 2]))
    with pytest.raises(SchemaMismatch, match="cannot be read as a time"):
        read(make_columns(at=["yesterday", "today"]))
