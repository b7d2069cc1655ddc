"""What becomes of a write to a disk that is full, read-only or closed: an error that a retry can mend, and no half of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fsspec.implementations.local import LocalFileSystem

import full_disk
from airflow_mlops.exceptions import RETRYABLE, PlaceRefused, SourceUnreadable, StoreUnavailable
from airflow_mlops.stores import disks
from airflow_mlops.stores.outputs import files
from airflow_mlops.stores.outputs.tables import ScoredPartition
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.sources import batches
from airflow_mlops.stores.tables import tables
from full_disk import Refusal
from history import make_decision, month

ROWS = pa.table({"number": range(1000), "text": [f"row {number}" for number in range(1000)]})
SCORES = pa.table({"flight": ["a", "b"], "score": [0.25, 0.75]})

STATES: dict[str, tuple[Callable[[Path], AbstractContextManager[Any]], Refusal, str]] = {
    "full": (full_disk.disk, full_disk.full, "the disk is full .No space left on device.*free some space"),
    "read-only": (
        full_disk.disk,
        full_disk.read_only,
        "the disk is read-only .*mount it so that it can be written",
    ),
    "limited": (nullcontext, full_disk.limited, "the disk is full .File too large.*free some space"),
    "closed": (nullcontext, full_disk.closed, "no right to it .Permission denied.*user that tasks run as"),
}


class Place:
    """A folder on a disk that refuses data for as long as a test wants."""

    def __init__(self, folder: Path, refusal: Refusal, words: str) -> None:
        self.folder, self.refusal, self.words = folder, refusal, words

    def refuses(self, write: Callable[[], object]) -> None:
        before = self.paths()
        with self.refusal(self.folder), pytest.raises(StoreUnavailable, match=self.words) as caught:
            write()
        assert isinstance(caught.value, RETRYABLE)
        assert self.paths() == before

    def paths(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture(params=STATES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    disk, refusal, words = STATES[request.param]
    folder = tmp_path / "disk"
    with disk(folder):
        folder.mkdir(exist_ok=True)
        yield Place(folder, refusal, words)


def publish(uri: str, rows: pa.Table = ROWS, partition: str = "2013-01") -> Any:
    return tables.publish(
        uri, rows, name="flights", grain="month", partition=partition, key=["number"], event_time="number", source="here",
        run="run-1",
    )  # fmt: skip


@pytest.fixture
def scores(tmp_path: Path) -> ScoredPartition:
    uri = f"file://{tmp_path}/flights/predictions"
    tables.replace_partition(uri, SCORES, "2013-01")
    return ScoredPartition("flights", month("2013-01"), ("flight",), uri, tables.open_table(uri).version())


def test_a_ledger_that_finds_no_room_loses_nothing_and_goes_on_afterwards(place: Place) -> None:
    uri = f"file://{place.folder}/flights/ledger"
    ledger.record_decision(uri, make_decision("2013-01", key="run-1"), actor="me")
    second = make_decision("2013-02", key="run-2")
    place.refuses(lambda: ledger.record_decision(uri, second, actor="me"))
    assert [row.key for row in ledger.rows(uri)] == ["run-1"]
    ledger.record_decision(uri, second, actor="me")
    assert [row.key for row in ledger.rows(uri)] == ["run-1", "run-2"]


def test_a_ledger_that_cannot_be_made_is_made_by_the_next_try(place: Place) -> None:
    uri = f"file://{place.folder}/flights/ledger"
    place.refuses(lambda: ledger.record_decision(uri, make_decision("2013-01"), actor="me"))
    ledger.record_decision(uri, make_decision("2013-01"), actor="me")
    assert len(ledger.rows(uri)) == 1


def test_a_partition_that_finds_no_room_leaves_the_former_one_and_no_files(place: Place) -> None:
    uri = f"file://{place.folder}/flights/data"
    publish(uri)
    place.refuses(lambda: publish(uri, ROWS.slice(0, 500)))
    assert tables.read(uri) == ROWS
    assert publish(uri, ROWS.slice(0, 500)).version == tables.open_table(uri).version()
    assert tables.read(uri) == ROWS.slice(0, 500)


def test_types_that_get_wider_and_find_no_room_leave_every_partition_as_it_was(place: Place) -> None:
    uri = f"file://{place.folder}/flights/data"
    narrow = pa.table({"number": pa.array([1, 2], pa.int32())})
    for partition in ("2013-01", "2013-02"):
        tables.replace_partition(uri, narrow, partition)
    wide = pa.table({"number": pa.array([1, 2**40])})
    place.refuses(lambda: tables.replace_partition(uri, wide, "2013-03", change=tables.Change.WIDEN))
    assert tables.read(uri)["number"].to_pylist() == [1, 2, 1, 2]
    tables.replace_partition(uri, wide, "2013-03", change=tables.Change.WIDEN)
    assert tables.read(uri)["number"].to_pylist() == [1, 2, 1, 2, 1, 2**40]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_of_predictions_that_finds_no_room_leaves_the_former_one(
    place: Place, scores: ScoredPartition, form: str
) -> None:
    path = place.folder / f"scores.{form}"
    files.write(scores, LocalFileSystem(), str(path), form)
    content = path.read_bytes()
    place.refuses(lambda: files.write(scores, LocalFileSystem(), str(path), form))
    assert path.read_bytes() == content


def test_rows_of_a_source_that_do_not_fit_beside_each_other_say_where_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches.tempfile, "gettempdir", lambda: str(tmp_path))
    with full_disk.limited(tmp_path), pytest.raises(StoreUnavailable, match=f"{tmp_path} cannot be used"):
        list(batches.spooled(ROWS.to_batches(), None, "here"))


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), ValueError("five"), Exception("(os error 2)")]
)
def test_what_a_disk_does_not_say_passes_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, disks.errors("here"):
        raise error
    assert caught.value is error


def test_an_error_of_ours_about_another_place_keeps_its_words() -> None:
    with pytest.raises(SourceUnreadable, match="^there"), disks.errors("here"):
        raise SourceUnreadable("there: no room (os error 28)")


@pytest.mark.parametrize(
    "uri", ["foo://x/flights/data", "http://h/flights/data", "s3:///flights/data", "s3://h:abc/data"]
)
def test_an_address_that_no_store_has_is_no_table_that_is_still_to_come(uri: str) -> None:
    for use in (
        lambda: tables.open_table(uri),
        lambda: publish(uri),
        lambda: ledger.record_decision(uri, make_decision("2013-01"), actor="me"),
    ):
        with pytest.raises(
            PlaceRefused, match=f"{uri}.* is no place for tables: .*file:///folder, s3://bucket"
        ):
            use()
