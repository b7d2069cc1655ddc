from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.exceptions import BadRows, SchemaMismatch
from airflow_mlops.stores.clocks import Clocks

UTC_TIMES = pa.timestamp("us", "UTC")
NEW_YEAR, WINTER, SUMMER, BEFORE, TWICE, NEVER = map(
    datetime.fromisoformat,
    (
        "2024-01-01",
        "2024-01-15T12:00",
        "2024-07-15T12:00",
        "2024-10-27T01:00",
        "2024-10-27T02:30",
        "2024-03-31T02:30",
    ),
)


def read(
    values: Any, kind: pa.DataType | None = None, *, zone: str = "Europe/Berlin", ambiguous: str | None = None
) -> list[Any]:
    clocks = Clocks(zone, ambiguous, "the rows")
    rows = clocks.read(pa.table({"at": pa.array(values, kind)}), ["at"])
    clocks.check()
    assert rows.schema.field("at").type == UTC_TIMES
    return rows["at"].to_pylist()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_without_an_offset_are_read_as_the_clocks_show_them(unit: str) -> None:
    values = [WINTER, SUMMER, None]
    assert read(values, pa.timestamp(unit)) == [
        datetime(2024, 1, 15, 11, tzinfo=UTC),
        datetime(2024, 7, 15, 10, tzinfo=UTC),
        None,
    ]


def test_times_with_an_offset_are_instants_in_any_zone() -> None:
    assert read([datetime(2024, 7, 15, 12, tzinfo=UTC)]) == [datetime(2024, 7, 15, 12, tzinfo=UTC)]


def test_a_text_with_an_offset_stands_beside_one_without() -> None:
    assert read(["2024-07-15T12:00:00+05:30", "2024-07-15 12:00:00.1234567", "2024-10-27 02:30:00Z"]) == [
        datetime(2024, 7, 15, 6, 30, tzinfo=UTC),
        datetime(2024, 7, 15, 10, 0, 0, 123456, tzinfo=UTC),
        datetime(2024, 10, 27, 2, 30, tzinfo=UTC),
    ]


def test_a_date_is_the_beginning_of_its_day_even_where_clocks_skip_midnight() -> None:
    assert read([date(2024, 7, 15)]) == [datetime(2024, 7, 14, 22, tzinfo=UTC)]
    assert read([date(2018, 11, 4)], zone="America/Sao_Paulo") == [datetime(2018, 11, 4, 3, tzinfo=UTC)]
    assert read([date(2024, 11, 3)], zone="America/Havana") == [datetime(2024, 11, 3, 4, tzinfo=UTC)]


@pytest.mark.parametrize(("ambiguous", "hour"), [("earlier", 0), ("later", 1)])
def test_a_time_that_occurs_twice_is_taken_as_said(ambiguous: str, hour: int) -> None:
    assert read([TWICE], ambiguous=ambiguous) == [datetime(2024, 10, 27, hour, 30, tzinfo=UTC)]


def test_times_that_occur_twice_are_refused_with_their_number_and_the_first_rows() -> None:
    values = [BEFORE, *[TWICE] * 5]
    message = (
        "5 times of 'at' occur twice in Europe/Berlin, as clocks are set back "
        r"\(2024-10-27 02:30:00 in row 2, 2024-10-27 02:30:00 in row 3, 2024-10-27 02:30:00 in row 4\): write them "
        r"with their offset, or say which is meant \(ambiguous: earlier, or later\)"
    )
    with pytest.raises(BadRows, match=message):
        read(values)


@pytest.mark.parametrize("ambiguous", [None, "earlier", "later"])
def test_a_time_that_never_occurs_is_refused_in_any_case(ambiguous: str | None) -> None:
    with pytest.raises(
        BadRows, match="1 times of 'at' never occur in Europe/Berlin.*2024-03-31 02:30:00 in row 1"
    ):
        read([NEVER], ambiguous=ambiguous)


def test_rows_are_counted_over_batches_and_times_of_other_columns_stay_out_of_the_message() -> None:
    clocks = Clocks("Europe/Berlin", None, "the rows")
    for _ in range(2):
        clocks.read(pa.table({"born": [NEW_YEAR, TWICE]}), [])
    with pytest.raises(BadRows, match=r"2 times of 'born' occur twice .*\(row 2, row 4\)"):
        clocks.check()


def test_in_utc_each_time_occurs_once_and_other_columns_stay_as_they_are() -> None:
    rows = pa.table({"at": [TWICE], "other": [NEVER]})
    clocks = Clocks("UTC", None, "the rows")
    read = clocks.read(rows, ["at"])
    clocks.check()
    assert read["at"].to_pylist() == [TWICE.replace(tzinfo=UTC)]
    assert read["other"] is not None
    assert read.schema.field("other").type == rows.schema.field("other").type


def test_times_without_an_offset_within_lists_are_refused() -> None:
    rows = pa.table({"at": [[TWICE]]})
    with pytest.raises(SchemaMismatch, match="'at' is list<.*make columns of them"):
        Clocks("Europe/Berlin", None, "the rows").read(rows, [])


@pytest.mark.parametrize("values", [[1.5], ["no time"], [True]])
def test_what_is_no_time_is_refused(values: list[Any]) -> None:
    with pytest.raises(SchemaMismatch, match="the rows: 'at'"):
        read(values)
