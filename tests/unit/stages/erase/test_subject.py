from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_mlops.exceptions import ErasureRefused
from airflow_mlops.stages.erase import exported, subject
from airflow_mlops.stages.erase.subject import DataSubject
from airflow_mlops.stores.tables import erasure, exports, tables

SHOWN = datetime(2024, 7, 15, 10, tzinfo=UTC)
"""When the clocks of Berlin show noon."""
NOON_UTC = datetime(2024, 7, 15, 12, tzinfo=UTC)


@pytest.fixture
def uris(tmp_path: Path) -> dict[str, str]:
    rows = pa.table({"id": [1, 2], "at": [SHOWN, NOON_UTC], "note": ["2024-07-15 12:00:00", "none"]})
    uri = f"file://{tmp_path}/data"
    tables.publish(
        uri, rows, name="rides", grain="day Europe/Berlin", partition="2024-07-15", key=["id", "at"],
        event_time="at", source="test", run="test",
    )  # fmt: skip
    return {"data": uri}


def rows_of(theirs: DataSubject, uri: str) -> list[int]:
    rows = tables.read(uri)
    return [row["id"] for row in rows.to_pylist() if erasure.count(_one(rows, row["id"]), theirs.whose[:1])]


def _one(rows: pa.Table, number: int) -> pa.RecordBatch:
    return rows.slice(rows["id"].to_pylist().index(number), 1).combine_chunks().to_batches()[0]


@pytest.mark.parametrize(
    ("time", "ids"),
    [
        ("2024-07-15 12:00:00", [1]),
        ("2024-07-15T14:00", [2]),
        ("2024-07-15 12:00:00Z", [2]),
        ("2024-07-15 12:00:00+02:00", [1]),
    ],
)
def test_a_time_without_an_offset_names_the_rows_at_which_local_clocks_show_it(
    uris: dict[str, str], time: str, ids: list[int]
) -> None:
    assert rows_of(subject.find(uris, ["at"], [[time]]), uris["data"]) == ids


def test_times_of_a_key_are_read_so_too_and_text_stays_what_it_is(uris: dict[str, str]) -> None:
    theirs = subject.find(uris, ["id", "at"], [["1", "2024-07-15 12:00:00"], ["2", "2024-07-15 12:00:00"]])
    assert rows_of(theirs, uris["data"]) == [1]
    assert rows_of(subject.find(uris, ["note"], [["2024-07-15 12:00:00"]]), uris["data"]) == [1]


def test_exported_files_lose_the_rows_at_which_local_clocks_show_the_time(
    uris: dict[str, str], tmp_path: Path
) -> None:
    rows, file = tables.read(uris["data"]), str(tmp_path / "rides.csv")
    exports.write(rows.to_batches(), file)
    theirs = subject.find(uris, ["id", "at"], [["1", "2024-07-15 12:00:00"], ["2", "2024-07-15 12:00:00"]])
    assert exported.count(file, theirs, rows.schema) == 1
    exported.take_out(file, theirs, rows.schema)
    assert "none" in Path(file).read_text()
    assert exported.count(file, theirs, rows.schema) == 0


@pytest.mark.parametrize(
    ("time", "problem"),
    [
        ("2024-10-27 02:30:00", "occurs twice in Europe/Berlin, .*: write its offset behind it"),
        ("2024-03-31 02:30:00", "never occurs in Europe/Berlin, as clocks are set ahead"),
        ("15.07.2024", "is no timestamp.*; write it like 2024-10-28 04:55:00"),
        ("", "is no timestamp.*; it is empty"),
    ],
)
def test_a_time_that_names_no_rows_is_refused_without_being_shown(
    uris: dict[str, str], time: str, problem: str
) -> None:
    with pytest.raises(ErasureRefused, match=f"The value of 'at' in row 1 {problem}") as refused:
        subject.find(uris, ["at"], [[time]])
    assert not time or time not in str(refused.value)
