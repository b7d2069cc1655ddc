from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_mlops.domain.facts.labels import LabelsReport
from airflow_mlops.exceptions import SourceMissing
from airflow_mlops.hooks.sources import FileSource
from airflow_mlops.learning.labels import labels
from airflow_mlops.stores.sources.python import PythonSource
from airflow_mlops.stores.tables import tables
from history import month

AT = datetime(2013, 1, 31, tzinfo=UTC)


class Store:
    """A published January, and the table of labels, which is empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.labels = (f"file://{folder}/{name}" for name in ("data", "labels"))
        self.publish("2013-01")

    def publish(self, key: str) -> None:
        at = pa.array([month(key).end - timedelta(days=1)], pa.timestamp("us", "UTC"))
        tables.publish(
            self.data, pa.table({"id": ["a"], "at": at}), name="d", grain="month", partition=key, key=["id"],
            event_time="at", source="test", run="test",
        )  # fmt: skip

    def files(self) -> FileSource:
        return FileSource(f"{self.folder}/{{partition}}.parquet")

    def bring(self, source: Any, key: str, delay: timedelta, data: str | None = "") -> LabelsReport:
        return labels.ingest(
            source, month(key), uri=self.labels, key=["id"], event_time="at", target="y", task="classification",
            data=self.data if data == "" else data, delay=delay,
        )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def absent(_: object) -> None:
    raise FileNotFoundError("nothing")


@pytest.mark.parametrize("kind", ["files", "function"])
def test_labels_that_no_row_can_be_due_yet_are_not_needed(store: Store, kind: str) -> None:
    source = store.files() if kind == "files" else PythonSource(absent)
    report = store.bring(source, "2013-01", timedelta(days=31))
    assert (report.rows, report.new) == (0, 0)
    assert report.reason == (
        f"goes on without labels: there is nothing at {source.describe(month('2013-01'))}, and none can be due, as no "
        "published row is older than labels.delay at its end"
    )
    assert not tables.exists(store.labels)


def test_labels_that_come_before_they_are_due_are_taken(store: Store) -> None:
    rows = pa.table({"id": ["a"], "at": pa.array([AT], pa.timestamp("us", "UTC")), "y": [1]})
    parquet.write_table(rows, store.folder / "2013-01.parquet")
    assert store.bring(store.files(), "2013-01", timedelta(days=31)).new == 1


@pytest.mark.parametrize(
    ("key", "delay"),
    [("2013-01", timedelta(days=30)), ("2013-01", timedelta(0)), ("2013-02", timedelta(days=58))],
    ids=["one day", "no delay", "an earlier partition"],
)
def test_a_file_that_is_missing_once_labels_can_be_due_is_named(
    store: Store, key: str, delay: timedelta
) -> None:
    store.publish(key)
    with pytest.raises(SourceMissing) as raised:
        store.bring(store.files(), key, delay)
    assert str(raised.value) == (
        f"labels.source: partition {key}: there is no file {store.folder}/{key}.parquet. If nothing became known in {key}, "
        "leave its columns there without a row."
    )


def test_of_data_that_nobody_knows_any_label_may_be_due(store: Store) -> None:
    with pytest.raises(SourceMissing, match="labels.source: .*there is no file"):
        store.bring(store.files(), "2013-01", timedelta(days=31), data=None)


class Away(PythonSource):
    """A source that cannot be reached."""

    def stamp(self, partition: object) -> str | None:
        raise SourceMissing("the database cannot be reached")


def test_a_source_that_cannot_be_reached_may_have_labels(store: Store) -> None:
    with pytest.raises(SourceMissing, match="labels.source: .*: nothing"):
        store.bring(Away(absent), "2013-01", timedelta(days=31))
