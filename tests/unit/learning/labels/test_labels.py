from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.exceptions import BadRows, SchemaMismatch
from airflow_mlops.learning.labels import labels
from airflow_mlops.stores.sources import python
from airflow_mlops.stores.tables import tables
from history import month

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

JANUARY, FEBRUARY, MARCH = (month(f"2013-0{number}") for number in (1, 2, 3))


def at(day: int, of: int = 1) -> datetime:
    return datetime(2013, of, day, tzinfo=UTC)


def rows(*known: tuple[str, datetime, Any], **more: Any) -> pa.Table:
    """Return labels by flight, departure and value."""
    flights, times, values = zip(*known, strict=True) if known else ((), (), ())
    columns = {
        "flight": pa.array(flights, pa.string()),
        "departure": pa.array(times, pa.timestamp("us", "UTC")),
    }
    return pa.table({**columns, "late": pa.array(values), **more})


def write(uri: str, table: pa.Table, partition: Any = JANUARY, **changes: Any) -> labels.LabelsReport:
    settings: dict[str, Any] = {"key": ["flight"], "event_time": "departure", "target": "late"}
    return labels.write(uri, table, partition, task="classification", **settings | changes)


def known(uri: str) -> list[dict[str, Any]]:
    return sorted(tables.read(uri).to_pylist(), key=str)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file://{tmp_path}/labels"


def test_labels_lie_in_the_partition_of_their_event(uri: str) -> None:
    report = write(uri, rows(("a", at(5), True), ("b", at(5, of=2), False)), MARCH)
    assert (report.rows, report.new, report.touched) == (2, 2, ("2013-01", "2013-02"))
    assert tables.read(uri, partition="2013-01")["late"].to_pylist() == [1.0]
    assert labels.touched(uri, MARCH) == ["2013-01", "2013-02"]
    assert labels.touched(uri, FEBRUARY) == []


def test_the_same_labels_again_change_nothing(uri: str) -> None:
    write(uri, rows(("a", at(5), True)))
    before, version = known(uri), tables.open_table(uri).version()
    again = write(uri, rows(("a", at(5), True), ("a", at(5), True)))
    later = write(uri, rows(("a", at(5), True)), MARCH)
    assert (again.new, later.new, again.touched) == (0, 0, ())
    assert (known(uri), tables.open_table(uri).version()) == (before, version)


def test_labels_come_to_the_same_in_any_order(tmp_path: Path) -> None:
    runs = [
        (JANUARY, rows(("a", at(5), True))),
        (FEBRUARY, rows(("a", at(5), True), ("b", at(6), False))),
        (MARCH, rows(("a", at(5), False), ("c", at(5, of=2), True))),
    ]
    found = []
    for number, order in enumerate(permutations(runs)):
        uri = f"file://{tmp_path}/{number}"
        for partition, table in order:
            write(uri, table, partition)
        found.append(known(uri))
    assert all(each == found[0] for each in found)
    assert len(found[0]) == 4


def write_in_turn(uri: str, writer: int) -> None:
    """Write a label at a time, each for another flight."""
    for number in range(5):
        write(uri, rows((f"{writer}/{number}", at(5), True)))


@pytest.mark.slow
def test_labels_that_several_bring_at_once_are_all_kept(uri: str) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.starmap(write_in_turn, [(uri, writer) for writer in range(4)], chunksize=1)
    assert len(known(uri)) == 20


def test_labels_that_come_between_reading_and_writing_are_merged(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(uri, rows(("a", at(5), True)))
    replace, waiting = tables.replace_partition, [rows(("b", at(5), True)), rows(("c", at(5), True))]

    def others_first(*arguments: Any, **named: Any) -> None:
        if waiting:
            write(uri, waiting.pop())
        replace(*arguments, **named)

    monkeypatch.setattr(tables, "replace_partition", others_first)
    assert write(uri, rows(("d", at(5), True))).new == 1
    assert [row["flight"] for row in known(uri)] == ["a", "b", "c", "d"]


def test_labels_that_contradict_each_other_are_kept_and_counted(uri: str) -> None:
    write(uri, rows(("a", at(5), True), ("b", at(6), True)))
    report = write(uri, rows(("a", at(5), False)), FEBRUARY)
    assert (report.new, report.contradictory) == (1, 1)
    assert len(known(uri)) == 3


def test_a_label_is_known_from_its_own_time_but_not_before_the_run_that_brought_it(uri: str) -> None:
    times = pa.array([at(1), at(20, of=2), at(3, of=3)], pa.timestamp("us", "UTC"))
    write(uri, rows(("a", at(1), 1), ("b", at(2), 0), ("c", at(3), 1), labelled_at=times), FEBRUARY)
    assert [row["labelled_at"] for row in known(uri)] == [FEBRUARY.start, at(20, of=2), at(3, of=3)]


def test_without_a_time_of_its_own_a_label_is_known_at_the_end_of_the_run_that_brought_it(uri: str) -> None:
    write(uri, rows(("a", at(5), True)), FEBRUARY)
    assert known(uri)[0]["labelled_at"] == FEBRUARY.end - timedelta(microseconds=1)


def test_rows_without_a_label_are_left_out_and_counted(uri: str) -> None:
    report = write(uri, rows(("a", at(5), True), ("b", at(6), None)))
    assert (report.rows, report.empty) == (1, 1)
    assert write(uri, rows()).rows == 0


@pytest.mark.parametrize(
    ("table", "error", "named"),
    [
        (rows(("a", at(5), 2)), SchemaMismatch, "it is also 2"),
        (rows(("a", at(5), 0.5)), SchemaMismatch, "late"),
        (rows(("a", at(5), True)).drop_columns(["departure"]), SchemaMismatch, "departure"),
        (rows((None, at(5), True)), BadRows, "flight is missing in 1 of 1 rows"),
        (rows(("a", None, True)), BadRows, "departure is missing"),
        (rows(("a", at(5), True), labelled_at=pa.array([None], pa.timestamp("us"))), BadRows, "labelled_at"),
    ],
)
def test_labels_that_cannot_be_read_are_refused_by_name(
    uri: str, table: pa.Table, error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        write(uri, table)
    assert not tables.exists(uri)


def test_keys_of_another_type_are_refused_and_nothing_is_written(uri: str) -> None:
    write(uri, rows(("a", at(5), True)))
    numbers = pa.table({"flight": [1.5], "departure": [at(5)], "late": [True]})
    with pytest.raises(SchemaMismatch, match="a key is text, a number or a time"):
        write(uri, numbers.set_column(0, "flight", pa.array([[1.5]])))
    assert len(known(uri)) == 1


def test_rows_that_wait_for_their_label_need_no_time_of_it(uri: str) -> None:
    times = pa.array([at(6), None], pa.timestamp("us", "UTC"))
    report = write(uri, rows(("a", at(5), True), ("b", at(5), None), labelled_at=times))
    assert (report.rows, report.empty) == (1, 1)
    assert [(row["flight"], row["labelled_at"]) for row in known(uri)] == [("a", at(6))]


def test_labels_are_read_from_a_source(uri: str) -> None:
    source = python.PythonSource(lambda partition: rows(("a", partition.start, True)))
    settings: dict[str, Any] = {"key": ["flight"], "event_time": "departure", "target": "late"}
    report = labels.ingest(source, FEBRUARY, uri=uri, task="classification", **settings)
    assert (report.partition, report.new, report.touched) == ("2013-02", 1, ("2013-02",))


@pytest.mark.parametrize(
    ("column", "values", "error", "says"),
    [
        ("flight", [[1]], SchemaMismatch, "'flight' is list<element: int64>: a key is text, a number or a time"),
        ("flight", [{"a": 1}], SchemaMismatch, "'flight' is struct<a: int64>: a key is text"),
        ("flight", [float("nan")], BadRows, "flight is missing in 1 of 1 rows with a label"),
        ("departure", pa.array([2**59], pa.timestamp("us", "UTC")), BadRows, "'departure' has times before year 1"),
        ("labelled_at", pa.array([2**59], pa.timestamp("us", "UTC")), BadRows, "'labelled_at' has times before"),
    ],
)  # fmt: skip
def test_keys_and_times_that_no_row_can_have_are_refused_before_anything_is_written(
    uri: str, column: str, values: Any, error: type[Exception], says: str
) -> None:
    table = pa.table(
        {"flight": ["AA"], "departure": [at(2)], "labelled_at": [at(3)], "late": [1]} | {column: values}
    )
    with pytest.raises(error, match=says):
        write(uri, table)
    assert not tables.exists(uri)
