"""Corrected rows of local days: times that a person writes without an offset are what the local clocks show."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import ReleaseRefused
from airflow_mlops.hooks.sources import PythonSource
from airflow_mlops.stages.ingest import ingest, quarantine
from airflow_mlops.stores.tables import tables

AUTUMN, SPRING, SUMMER = "2024-10-27", "2024-03-31", "2024-07-15"


class Rides:
    """A local day with one ride, at its noon, which is set aside."""

    def __init__(self, folder: Path, partition: str, grain: str, ambiguous: str | None = None) -> None:
        self.ambiguous = ambiguous
        self.folder = folder
        self.partition = Partition.parse(partition, grain)
        self.staged = self.aside()

    def stage(self) -> DatasetVersion:
        noon = (self.partition.start + (self.partition.end - self.partition.start) / 2).replace(microsecond=0)
        rows = pa.table({"id": [1], "at": [noon], "paid_at": [noon], "minutes": [-5]})
        return ingest.stage(
            PythonSource(lambda _: rows), self.partition, uri=f"file://{self.folder}/staging",
            published=f"file://{self.folder}/data", name="rides", key=["id"], event_time="at", run="test",
            ambiguous=self.ambiguous,
        )  # fmt: skip

    def aside(self) -> DatasetVersion:
        return quarantine.set_aside(self.stage(), {0: "odd"}, quarantine=self.uri("quarantine"), run="test")

    def uri(self, table: str) -> str:
        return f"file://{self.folder}/{table}"

    def release(self, file: Path) -> dict[str, datetime]:
        """Release the rows of a file, run the partition again, and return the times of its ride."""
        quarantine.release(
            self.staged, quarantine=self.uri("quarantine"), released=self.uri("released"), by="ann",
            reason="typing error", file=str(file),
        )  # fmt: skip
        passed = quarantine.correct(self.stage(), released=self.uri("released"), run="test")
        ride = tables.read(passed.uri, version=passed.version, partition=passed.partition).to_pylist()[0]
        return {name: ride[name] for name in ("at", "paid_at")}


def as_csv(folder: Path, at: str, paid_at: str) -> Path:
    rows = pa.table({"id": [1], "at": [at], "paid_at": [paid_at], "minutes": [5]})
    csv.write_csv(rows, folder / "edited.csv")
    return folder / "edited.csv"


def as_jsonl(folder: Path, at: str, paid_at: str) -> Path:
    file = folder / "edited.jsonl"
    file.write_text(json.dumps({"id": 1, "at": at, "paid_at": paid_at, "minutes": 5}) + "\n")
    return file


def as_parquet(folder: Path, at: str, paid_at: str) -> Path:
    # As pandas writes times without an offset.
    times = {name: pa.array([datetime.fromisoformat(text)], pa.timestamp("us")) for name, text in
             (("at", at), ("paid_at", paid_at))}  # fmt: skip
    parquet.write_table(pa.table({"id": [1], **times, "minutes": [5]}), folder / "edited.parquet")
    return folder / "edited.parquet"


@pytest.mark.parametrize("write", [as_csv, as_jsonl, as_parquet])
@pytest.mark.parametrize(
    ("partition", "grain", "shown", "instant"),
    [
        (SUMMER, "day Europe/Berlin", "00:30:00", datetime(2024, 7, 14, 22, 30, tzinfo=UTC)),
        (AUTUMN, "day Europe/Berlin", "23:59:59", datetime(2024, 10, 27, 22, 59, 59, tzinfo=UTC)),
        ("2024-07-15T10", "hour Asia/Kolkata", "15:45:00", datetime(2024, 7, 15, 10, 15, tzinfo=UTC)),
        (SUMMER, "day", "12:00:00", datetime(2024, 7, 15, 12, tzinfo=UTC)),
    ],
)
def test_a_corrected_time_without_an_offset_is_what_the_local_clocks_show(
    write: Callable[[Path, str, str], Path],
    partition: str,
    grain: str,
    shown: str,
    instant: datetime,
    tmp_path: Path,
) -> None:
    text = f"{partition[:10]} {shown}"
    times = Rides(tmp_path, partition, grain).release(write(tmp_path, text, text))
    assert times == {"at": instant, "paid_at": instant}


@pytest.mark.parametrize("write", [as_csv, as_jsonl])
def test_offsets_tell_the_hour_that_occurs_twice_apart(
    write: Callable[[Path, str, str], Path], tmp_path: Path
) -> None:
    file = write(tmp_path, "2024-10-27 02:30:00+02:00", "2024-10-27 02:30:00+01:00")
    times = Rides(tmp_path, AUTUMN, "day Europe/Berlin").release(file)
    assert times == {
        "at": datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
        "paid_at": datetime(2024, 10, 27, 1, 30, tzinfo=UTC),
    }


@pytest.mark.parametrize("write", [as_csv, as_jsonl, as_parquet])
@pytest.mark.parametrize(
    ("partition", "column", "problem"),
    [
        (AUTUMN, "paid_at", "which occurs twice in Europe/Berlin, as clocks are set back: write its offset behind it"),
        (SPRING, "at", "which never occurs in Europe/Berlin, as clocks are set ahead: correct it"),
    ],
)  # fmt: skip
def test_a_time_that_occurs_twice_or_never_is_refused_with_what_to_write(
    write: Callable[[Path, str, str], Path], partition: str, column: str, problem: str, tmp_path: Path
) -> None:
    times = dict.fromkeys(("at", "paid_at"), f"{partition} 12:00:00") | {column: f"{partition} 02:30:00"}
    rides = Rides(tmp_path, partition, "day Europe/Berlin")
    with pytest.raises(ReleaseRefused) as refused:
        rides.release(write(tmp_path, **times))
    assert f"row 1: {column!r} is '{partition} 02:30:00', {problem}" in str(refused.value)
    assert not tables.exists(rides.uri("released"))


@pytest.mark.parametrize(
    ("partition", "grain", "time", "problem"),
    [
        (
            AUTUMN, "day Europe/Berlin", "2024-10-28 04:55:00",
            "outside of the partition; it must be from 2024-10-27 00:00+02:00 to before 2024-10-28 00:00+01:00 (Europe/Berlin)",
        ),
        (
            "2024-10-27T00", "hour Europe/Berlin", "2024-10-27 05:00:00",
            "it must be from 2024-10-27 02:00+02:00 to before 2024-10-27 02:00+01:00 (Europe/Berlin)",
        ),
        (AUTUMN, "day Europe/Berlin", "2024-10-28 04:55:00", "row 1: 'at' is 2024-10-28 04:55:00+01:00, outside of"),
        (SUMMER, "day", "2024-07-16", "it must be from 2024-07-15 00:00+00:00 to before 2024-07-16 00:00+00:00 (UTC)"),
        (SUMMER, "day Europe/Berlin", "9999-12-31 23:59:00Z", "'at' is 9999-12-31 23:59:00+00:00, outside of"),
        (SUMMER, "day America/New_York", "0001-01-01 00:00:00Z", "'at' is 0001-01-01 00:00:00+00:00, outside of"),
    ],
)  # fmt: skip
def test_a_time_of_another_partition_is_refused_with_what_the_local_clocks_show(
    partition: str, grain: str, time: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ReleaseRefused) as refused:
        Rides(tmp_path, partition, grain).release(as_csv(tmp_path, time, "2024-07-15 12:00:00"))
    assert problem in str(refused.value)


@pytest.mark.parametrize("write", [as_csv, as_jsonl, as_parquet])
@pytest.mark.parametrize(("ambiguous", "hour"), [("earlier", 0), ("later", 1)])
def test_a_time_that_occurs_twice_is_the_one_that_the_spec_means(
    tmp_path: Path, write: Callable[[Path, str, str], Path], ambiguous: str, hour: int
) -> None:
    rides = Rides(tmp_path, AUTUMN, "day Europe/Berlin", ambiguous)
    times = rides.release(write(tmp_path, "2024-10-27 02:30:00", "2024-10-27 12:00:00"))
    assert times == {
        "at": datetime(2024, 10, 27, hour, 30, tzinfo=UTC), "paid_at": datetime(2024, 10, 27, 11, tzinfo=UTC),
    }  # fmt: skip
