"""Local days of every source: naive times, offsets, and the two days a year that clocks are changed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import BadRows, OtherPartitions
from airflow_mlops.hooks.source_files import FileSource
from airflow_mlops.hooks.source_sql import SqlSource
from airflow_mlops.hooks.sources import DeltaSource, PythonSource, Source
from airflow_mlops.stages.ingest import ingest
from airflow_mlops.stores.tables import tables

BERLIN = "day Europe/Berlin"
SPRING, AUTUMN = Partition.parse("2024-03-31", BERLIN), Partition.parse("2024-10-27", BERLIN)
EDGES = {
    # The first and the last time of the day, and one after the change, as a clock on the wall shows them.
    SPRING: ["2024-03-31 00:00:00", "2024-03-31 12:00:00", "2024-03-31 23:59:59"],
    AUTUMN: ["2024-10-27 00:00:00", "2024-10-27 12:00:00", "2024-10-27 23:59:59"],
}
INSTANTS = {
    SPRING: ["2024-03-30T23:00:00Z", "2024-03-31T10:00:00Z", "2024-03-31T21:59:59Z"],
    AUTUMN: ["2024-10-26T22:00:00Z", "2024-10-27T11:00:00Z", "2024-10-27T22:59:59Z"],
}
# Of the days beside it, so that a source that selects has something to leave out.
BESIDE = {
    SPRING: ["2024-03-30 23:59:59", "2024-04-01 00:00:00"],
    AUTUMN: ["2024-10-26 23:59:59", "2024-10-28 00:00:00"],
}

Builder = Callable[[Path, Partition], Source]


def stage(source: Source, partition: Partition, folder: Path, **changes: Any) -> DatasetVersion:
    arguments: dict[str, Any] = {
        "uri": f"file://{folder}/rides/staging",
        "published": f"file://{folder}/rides/data",
        "name": "rides",
        "key": ["id"],
        "event_time": "at",
        "run": "run",
    }
    return ingest.stage(source, partition, **arguments | changes)


def times(version: DatasetVersion, column: str = "at") -> list[datetime]:
    return sorted(tables.read(version.uri, version=version.version)[column].to_pylist())


def csv(folder: Path, partition: Partition, values: list[str] | None = None) -> Source:
    lines = ["id,at", *(f"{number},{value}" for number, value in enumerate(values or EDGES[partition]))]
    (folder / f"{partition}.csv").write_text("\n".join(lines) + "\n")
    return FileSource(f"{folder}/{{year}}-{{month}}-{{day}}.csv")


def jsonl(folder: Path, partition: Partition, values: list[str] | None = None) -> Source:
    rows = [{"id": number, "at": value} for number, value in enumerate(values or EDGES[partition])]
    (folder / f"{partition}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return FileSource(f"{folder}/{{partition}}.jsonl")


def table(values: list[str]) -> pa.Table:
    moments = [datetime.fromisoformat(value) for value in values]
    return pa.table({"id": range(len(values)), "at": pa.array(moments, pa.timestamp("us"))})


def arrow(folder: Path, partition: Partition) -> Source:
    parquet.write_table(table(EDGES[partition]), folder / f"{partition}.parquet")
    return FileSource(f"{folder}/{{partition}}.parquet")


def query(folder: Path, partition: Partition) -> Source:
    connection = sqlite3.connect(folder / "rides.db", isolation_level=None)
    connection.execute("create table rides (id, at)")
    everything = [*EDGES[partition], *BESIDE[partition]]
    connection.executemany("insert into rides values (?, ?)", list(enumerate(everything)))
    return SqlSource("lite", "select * from rides where at >= :start and at < :end")


def lake(folder: Path, partition: Partition) -> Source:
    uri = f"file://{folder}/lake"
    rows = table([*EDGES[partition], *BESIDE[partition]])
    # Other writers keep times without a zone, as Delta's timestamp_ntz.
    import deltalake

    deltalake.write_deltalake(uri, rows)
    return DeltaSource(uri, event_time="at")


def function(folder: Path, partition: Partition) -> Source:
    return PythonSource(lambda part: table(EDGES[part]))


def frame(folder: Path, partition: Partition) -> Source:
    return PythonSource(lambda part: pd.DataFrame({"id": range(3), "at": pd.to_datetime(EDGES[part])}))


@pytest.fixture(autouse=True)
def _connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LITE", f"sqlite:///{tmp_path}/rides.db")


@pytest.mark.parametrize("partition", [SPRING, AUTUMN], ids=str)
@pytest.mark.parametrize("build", [csv, jsonl, arrow, query, lake, function, frame])
def test_times_without_an_offset_fill_the_local_day_of_every_source(
    build: Builder, partition: Partition, tmp_path: Path
) -> None:
    version = stage(build(tmp_path, partition), partition, tmp_path)
    assert times(version) == [datetime.fromisoformat(value) for value in INSTANTS[partition]]
    assert version.grain == BERLIN


@pytest.mark.parametrize("build", [csv, jsonl])
def test_times_with_an_offset_are_instants(build: Any, tmp_path: Path) -> None:
    values = ["2024-10-27T00:00:00+02:00", "2024-10-27T02:30:00+02:00", "2024-10-27T02:30:00+01:00"]
    version = stage(build(tmp_path, AUTUMN, values), AUTUMN, tmp_path)
    assert times(version) == [
        datetime(2024, 10, 26, 22, tzinfo=UTC),
        datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
        datetime(2024, 10, 27, 1, 30, tzinfo=UTC),
    ]


@pytest.mark.parametrize("build", [csv, jsonl])
def test_a_file_may_have_times_with_and_without_an_offset(build: Any, tmp_path: Path) -> None:
    values = ["2024-10-27T12:00:00+05:30", "2024-10-27 12:00:00"]
    version = stage(build(tmp_path, AUTUMN, values), AUTUMN, tmp_path)
    assert times(version) == [
        datetime(2024, 10, 27, 6, 30, tzinfo=UTC),
        datetime(2024, 10, 27, 11, tzinfo=UTC),
    ]


@pytest.mark.parametrize(("build", "place"), [(csv, "line 3 of .*2024-10-27.csv"), (jsonl, "row 2")])
def test_a_time_that_occurs_twice_is_refused_with_its_place_or_taken_as_said(
    build: Any, place: str, tmp_path: Path
) -> None:
    source = build(tmp_path, AUTUMN, ["2024-10-27 01:00:00", "2024-10-27 02:30:00"])
    with pytest.raises(BadRows, match=rf"1 times of 'at' occur twice .*2024-10-27 02:30:00 in {place}\)"):
        stage(source, AUTUMN, tmp_path)
    earlier, later = (
        times(stage(source, AUTUMN, tmp_path, ambiguous=which))[-1] for which in ("earlier", "later")
    )
    assert (earlier.hour, later - earlier) == (0, timedelta(hours=1))


def test_lines_count_those_within_quotes_and_rows_are_numbered_behind_a_transform(tmp_path: Path) -> None:
    (tmp_path / "2024-10-27.csv").write_text(
        'id,at,note\n1,2024-10-27 01:00:00,"two\nlines"\n2,2024-10-27 02:30:00,\n\n3,2024-10-27 02:45:00,\n'
    )
    source = FileSource(f"{tmp_path}/{{partition}}.csv")
    with pytest.raises(BadRows, match=r"02:30:00 in line 4 of .*2024-10-27.csv, .* 02:45:00 in line 6 of"):
        stage(source, AUTUMN, tmp_path)
    with pytest.raises(BadRows, match=r"\(2024-10-27 02:30:00 in row 1, 2024-10-27 02:45:00 in row 2\)"):
        stage(source, AUTUMN, tmp_path, transform=WithoutFirst())


class WithoutFirst:
    """Feature preparation that leaves the first row out."""

    version = "rides:without_first@1"

    def __call__(self, rows: pa.Table, partition: Partition, /) -> pa.Table:
        return rows.slice(1)


def test_a_key_and_a_feature_without_an_offset_are_read_as_the_event_time_is(tmp_path: Path) -> None:
    rows = table(["2024-07-15 12:00:00"]).append_column(
        "born", pa.array([datetime.fromisoformat("1990-01-01")])
    )
    rows = rows.append_column("slot", pa.array([datetime.fromisoformat("2024-07-15T13:00")]))
    partition = Partition.parse("2024-07-15", BERLIN)
    version = stage(PythonSource(lambda _: rows), partition, tmp_path, key=["id", "slot"])
    assert times(version, "slot") == [datetime(2024, 7, 15, 11, tzinfo=UTC)]
    assert times(version, "born") == [datetime(1989, 12, 31, 23, tzinfo=UTC)]


def test_hours_are_those_of_utc_and_times_without_an_offset_are_local(tmp_path: Path) -> None:
    hour = Partition.parse("2024-07-15T10", "hour Asia/Kolkata")
    version = stage(PythonSource(lambda _: table(["2024-07-15 15:45:00"])), hour, tmp_path)
    assert times(version) == [datetime(2024, 7, 15, 10, 15, tzinfo=UTC)]


def test_rows_of_another_local_day_are_refused_in_local_time(tmp_path: Path) -> None:
    message = r"from 2024-10-28 00:00 to 2024-10-28 00:00, outside of 2024-10-27 00:00 to 2024-10-28 00:00 \(Europe/Berlin\)"
    with pytest.raises(BadRows, match=message):
        stage(PythonSource(lambda _: table(["2024-10-28 00:00:00"])), AUTUMN, tmp_path)


def test_times_at_the_end_of_all_years_are_refused_as_those_of_another_day(tmp_path: Path) -> None:
    with pytest.raises(BadRows, match="to 9999-12-31 23:59, outside of 2024-10-27 00:00"):
        stage(PythonSource(lambda _: pa.table({"id": [1], "at": ["9999-12-31T23:59:00Z"]})), AUTUMN, tmp_path)


def test_another_time_zone_over_published_days_is_refused(tmp_path: Path) -> None:
    source = PythonSource(lambda _: table(["2024-07-15 12:00:00"]))
    staged = stage(source, Partition.parse("2024-07-15", "day"), tmp_path)
    ingest.publish(staged, uri=f"file://{tmp_path}/rides/data", run="run")
    message = (
        "is a day Europe/Berlin, and 'rides' has partitions of a day, which would overlap with it: put partition "
        "and timezone of the spec back, or give the model another name"
    )
    with pytest.raises(OtherPartitions, match=message):
        stage(source, Partition.parse("2024-07-16", BERLIN), tmp_path)
