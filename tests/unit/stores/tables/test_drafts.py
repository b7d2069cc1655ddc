from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_mlops.stores.tables import delta, drafts, tables
from airflow_mlops.stores.tables.drafts import Draft


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file://{tmp_path}/data"


def files(uri: str) -> list[Path]:
    return sorted(Path(uri.removeprefix("file://")).rglob("*.parquet"))


def test_large_partitions_become_several_files_that_are_read_in_order(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "_GROUP_ROWS", 10)
    monkeypatch.setattr(drafts, "_FILE_BYTES", 1)
    reader = pa.table({"x": range(95)}).to_reader(max_chunksize=7)
    tables.replace_partition(uri, reader, "2013-01")
    assert len(files(uri)) > 5
    assert tables.read(uri)["x"].to_pylist() == list(range(95))
    with Draft(f"{uri}-copy", "2013-01") as copy:
        copy.add_files(delta.open_table(uri), uri)
        assert [x for batch in copy.batches(["x"]) for x in batch["x"].to_pylist()] == list(range(95))
        assert copy.rows == 95
    assert not files(f"{uri}-copy")


def test_what_no_commit_names_is_removed(uri: str) -> None:
    with Draft(uri, "2013-01") as draft:
        draft.add(pa.table({"x": range(200_000)}))
        draft.finish()
        assert files(uri)
    assert not files(uri)


def test_a_group_that_cannot_be_written_fails_the_draft(uri: str) -> None:
    Path(uri.removeprefix("file://")).write_text("a file where the folder should be")
    with Draft(uri, "2013-01") as draft:
        draft.add(pa.table({"x": range(200_000)}))
        with pytest.raises(OSError, match="Cannot create directory"):
            draft.finish()


def test_rows_are_found_by_a_time_beside_a_struct_with_one_of_that_name(uri: str) -> None:
    old, new = datetime(1990, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC)
    kind = pa.timestamp("us", "UTC")
    rows = {"a": pa.array([{"at": old}], pa.struct([("at", kind)])), "at": pa.array([new], kind)}
    tables.replace_partition(uri, pa.table({**rows, "n": [1]}), "2013-01")
    assert tables.read(uri, event_time="at", since=new).num_rows == 1
    assert tables.read(uri, event_time="at", until=new).num_rows == 0


def test_times_that_python_does_not_know_are_written_without_a_range(uri: str) -> None:
    times = pa.array([0, 2**58], pa.timestamp("us", "UTC"))
    tables.replace_partition(uri, pa.table({"at": times, "n": [1, 2]}), "2013-01")
    assert tables.read(uri, columns=["n"])["n"].to_pylist() == [1, 2]
