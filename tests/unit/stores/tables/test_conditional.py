"""What two writers at once are told by a real object store, and by one that ignores If-None-Match."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from airflow_mlops.exceptions import RETRYABLE, UnsafeStore, WriteConflict
from airflow_mlops.local.airflow import free_port
from airflow_mlops.stores.tables import conditional
from object_store import BUCKET, Store, careless, serving, told

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

PROCESSES, APPENDS = 4, 4
NUMBERS = itertools.count()

APPEND = f"""
import os
from airflow_mlops.stores.tables import journal

for number in range({APPENDS}):
    journal.append(URI, ["who"], lambda rows, at: {{"at": at, "who": f"{{os.getpid()}} {{number}} {{len(rows)}}"}})
print("end")
"""
READ = """
from airflow_mlops.stores.tables import journal

for row in journal.rows(URI):
    print(row["who"])
print("end")
"""
# Every way to write: appended rows of a journal, a partition, rows beside others, files that are removed.
WRITE = """
import pyarrow as pa
from airflow_mlops.exceptions import UnsafeStore
from airflow_mlops.stores.tables import delta, journal, removal, tables

rows = pa.table({"id": [1]})
for write in (
    lambda: journal.append(URI, ["who"], lambda rows, at: {"at": at, "who": "me"}),
    lambda: tables.replace_partition(URI, rows, "2013-01"),
    lambda: delta.append(URI, rows),
    lambda: removal.vacuum(URI, [], days=1, delete=True),
):
    try:
        write()
        print("written")
    except UnsafeStore as error:
        print(error)
print("end")
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with serving(tmp_path_factory.mktemp("moto"), free_port()) as store:
        yield store


@pytest.fixture
def prefix() -> str:
    return f"flights_{next(NUMBERS)}"


@pytest.fixture
def unproven(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    proven: set[tuple[str, str]] = set()
    monkeypatch.setattr(conditional, "_proven", proven)
    return proven


def at(prefix: str, script: str) -> str:
    return script.replace("URI", repr(f"s3://{BUCKET}/{prefix}/ledger"))


@pytest.mark.slow
def test_an_object_store_that_heeds_the_header_keeps_every_row_of_processes_at_once(
    store: Store, prefix: str
) -> None:
    for process in [store.start(at(prefix, APPEND)) for _ in range(PROCESSES)]:
        told(process)
    rows = [tuple(map(int, row.split())) for row in store.run(at(prefix, READ)).splitlines()]
    # Each row was made from all before it, and those of a process are in its order.
    assert [earlier for _, _, earlier in rows] == list(range(PROCESSES * APPENDS))
    for writer in {process for process, _, _ in rows}:
        assert [number for process, number, _ in rows if process == writer] == list(range(APPENDS))
    assert not [key for key in store.keys(prefix) if "_proof" in key]


@pytest.mark.slow
def test_an_object_store_that_ignores_the_header_is_refused_by_whatever_writes(
    store: Store, prefix: str
) -> None:
    # The table is there already, from a store that was well: it does not vouch for the one that it lies on now.
    store.run(at(prefix, APPEND))
    before = store.keys(prefix)
    with careless(store) as other:
        lines = other.run(at(prefix, WRITE)).splitlines()
    assert len(lines) == 4
    for line in lines:
        assert "s3://mlops takes a key that it holds already" in line
        assert "If-None-Match" in line
        assert "Set [mlops] storage to a store that refuses the second write" in line
    assert store.keys(prefix) == before


def test_a_writer_that_looked_too_late_proves_nothing(
    unproven: set[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    races = iter([(1, 0), (1, 0), (1, 1)])
    monkeypatch.setattr(conditional, "_race", lambda uri: next(races))
    conditional.prove("s3://bucket/flights/ledger")
    assert unproven == {("s3", "bucket")}
    # Another table of that bucket needs none.
    conditional.prove("s3://bucket/flights/data")
    assert next(races, None) is None


def test_a_store_that_is_never_asked_twice_at_once_is_tried_again_later(
    unproven: set[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditional, "_race", lambda uri: (1, 0))
    with pytest.raises(WriteConflict, match="s3://bucket always came one after the other"):
        conditional.prove("s3://bucket/flights/ledger")
    assert not unproven


@pytest.mark.parametrize("uri", ["/data/flights/ledger", "file:///data/flights/ledger"])
def test_a_table_on_a_disk_needs_no_proof(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditional, "_race", lambda uri: pytest.fail(uri))
    conditional.prove(uri)


def test_a_retry_does_not_help_an_unsafe_store() -> None:
    assert not issubclass(UnsafeStore, RETRYABLE)
