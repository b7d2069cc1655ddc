from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from airflow_mlops.exceptions import SchemaMismatch, TableUnreadable, WriteConflict
from airflow_mlops.stores.tables import commits, delta, tables
from airflow_mlops.stores.tables.commits import Change, commit
from airflow_mlops.stores.tables.drafts import Draft


@pytest.fixture(params=["data", "a folder/dätä"])
def uri(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    return f"file://{tmp_path}/{request.param}"


def replace(uri: str, partition: str, change: Change = Change.MERGE, **columns: Any) -> None:
    tables.replace_partition(uri, pa.table(columns), partition, {"run": "test"}, change)


def rows(uri: str) -> list[dict[str, Any]]:
    return sorted(tables.read(uri).to_pylist(), key=lambda row: int(row["x"]))


def drafted(uri: str, partition: str, values: list[int]) -> Draft:
    draft = Draft(uri, partition)
    draft.add(pa.table({"x": values}))
    draft.finish()
    return draft


def at_the_same_time(monkeypatch: pytest.MonkeyPatch, *writes: Any) -> None:
    """Have others write between what a commit reads and what it writes."""
    waiting, paths = list(writes), commits.paths

    def read_then_written(*arguments: Any) -> list[str]:
        found = paths(*arguments)
        if waiting:
            waiting.pop(0)()
        return found

    monkeypatch.setattr(commits, "paths", read_then_written)


def other(uri: str, partition: str, value: int) -> Any:
    def write() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(commits, "paths", lambda *_: [])
            replace(uri, partition, x=[value])

    return write


def test_writers_of_other_partitions_do_not_disturb(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    replace(uri, "2013-01", x=[1])
    at_the_same_time(monkeypatch, other(uri, "2013-02", 2), other(uri, "2013-03", 3))
    replace(uri, "2013-01", x=[4])
    assert [row["x"] for row in rows(uri)] == [2, 3, 4]


@pytest.mark.parametrize("before", [[1], []])
def test_of_two_writers_of_one_partition_one_is_told(
    uri: str, monkeypatch: pytest.MonkeyPatch, before: list[int]
) -> None:
    replace(uri, "2013-00", x=[0])
    if before:
        replace(uri, "2013-01", x=before)
    at_the_same_time(monkeypatch, other(uri, "2013-01", 2))
    with pytest.raises(WriteConflict, match="changed partition 2013-01 of"):
        replace(uri, "2013-01", x=[3])
    assert [row["x"] for row in rows(uri)] == [0, 2]
    assert len(list(Path(uri.removeprefix("file://")).rglob("*.parquet"))) == 2 + len(before)


def test_a_commit_returns_its_own_version(uri: str) -> None:
    for version in (1, 2, 3):
        with drafted(uri, "2013-01", [version]) as draft:
            assert commit(draft, {}) == version
        assert tables.read(uri, version=version)["x"].to_pylist() == [version]


def test_an_empty_partition_takes_the_place_of_a_full_one(uri: str) -> None:
    replace(uri, "2013-01", x=[1])
    tables.replace_partition(uri, pa.table({"x": pa.array([], pa.int64())}), "2013-01")
    assert rows(uri) == []
    assert delta.open_table(uri).partitions() == []


def test_new_columns_are_added_and_lost_ones_stay(uri: str) -> None:
    replace(uri, "2013-01", x=[1], y=[0.5])
    replace(uri, "2013-02", x=[2], z=["new"])
    assert rows(uri) == [{"x": 1, "y": 0.5, "z": None}, {"x": 2, "y": None, "z": "new"}]


def test_other_types_are_refused_unless_the_table_may_be_widened(uri: str) -> None:
    replace(uri, "2013-01", x=[1], y=[0.5])
    replace(uri, "2013-02", x=[2], y=[1.5])
    with pytest.raises(SchemaMismatch, match=r"column 'x' is double, and int64 in file://"):
        replace(uri, "2013-03", x=[2.5])
    with pytest.raises(SchemaMismatch, match="column 'y' is string, and double"):
        replace(uri, "2013-03", Change.WIDEN, y=["text"])
    before = delta.open_table(uri).version()
    replace(uri, "2013-03", Change.WIDEN, x=[2.5])
    assert delta.open_table(uri).version() == before + 1
    assert [row["x"] for row in rows(uri)] == [1.0, 2.0, 2.5]
    assert tables.read(uri, version=before)["x"].type == pa.int64()


def test_replaced_columns_leave_nothing_of_other_partitions(uri: str) -> None:
    replace(uri, "2013-01", x=[1])
    replace(uri, "2013-02", Change.REPLACE, x=[2])
    assert [row["x"] for row in rows(uri)] == [1, 2]
    replace(uri, "2013-03", Change.REPLACE, x=["3"])
    assert rows(uri) == [{"x": "3"}]


def test_a_file_says_how_far_its_times_and_numbers_reach(uri: str) -> None:
    times = pa.array([0, 1_356_998_400_000_001], pa.timestamp("us", "UTC"))
    tables.replace_partition(uri, pa.table({"x": [1, 2], "at": times, "y": [0.5, None]}), "2013-01")
    (file,) = pa.table(delta.open_table(uri).get_add_actions(flatten=True)).to_pylist()
    assert (file["num_records"], file["min.x"], file["max.x"]) == (2, 1, 2)
    assert [file["min.at"], file["max.at"]] == times.to_pylist()
    assert tables.read(uri, event_time="at", since=times[1].as_py())["x"].to_pylist() == [2]


@pytest.mark.parametrize("answer", [CommitFailedError("already there"), RuntimeError("no answer")])
def test_a_commit_whose_answer_is_lost_loses_no_file(
    uri: str, monkeypatch: pytest.MonkeyPatch, answer: Exception
) -> None:
    replace(uri, "2013-01", x=[1])
    write = DeltaTable.create_write_transaction

    def written_and_lost(*arguments: Any, **named: Any) -> None:
        write(*arguments, **named)
        raise answer

    monkeypatch.setattr(DeltaTable, "create_write_transaction", written_and_lost)
    if isinstance(answer, CommitFailedError):
        with drafted(uri, "2013-01", [2]) as draft:
            assert commit(draft, {}) == 2
    else:
        with pytest.raises(TableUnreadable, match="no answer"):
            replace(uri, "2013-01", x=[2])
    assert [row["x"] for row in rows(uri)] == [2]
