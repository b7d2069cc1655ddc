from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.domain.facts.labels import LabelsReport, Unmatched
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.policies import labels as policy
from airflow_mlops.exceptions import OtherPartitions, SchemaMismatch
from airflow_mlops.hooks.source_files import FileSource
from airflow_mlops.learning.labels import labelled, labels
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.stores.sources.python import PythonSource
from airflow_mlops.stores.tables import tables
from history import month

AT = datetime(2013, 1, 5, tzinfo=UTC)


class Store:
    """Published rows, a source of labels, and the table that these are brought into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.labels = (f"file://{folder}/{name}" for name in ("data", "labels"))

    def publish(self, keys: Sequence[Any], kind: pa.DataType, key: str = "2013-01") -> Any:
        time = month(key).start.replace(day=5)
        rows = pa.table({
            "customer": pa.array(keys, kind),
            "day": pa.array([time] * len(keys), pa.timestamp("us", "UTC")),
            "wind": pa.array([1.0] * len(keys)),
        })  # fmt: skip
        return tables.publish(
            self.data, rows, name="churn", grain="month", partition=key, key=["customer"], event_time="day",
            source="test", run="test",
        )  # fmt: skip

    def bring(self, source: Any, key: str = "2013-01") -> LabelsReport:
        return labels.ingest(
            source, month(key), uri=self.labels, key=["customer"], event_time="day", target="churned",
            task="classification", data=self.data,
        )  # fmt: skip

    def csv(self, *keys: str, day: str = "2013-01-05") -> FileSource:
        lines = ["customer,day,churned", *(f"{key},{day},1" for key in keys)]
        (self.folder / "labels.csv").write_text("\n".join(lines) + "\n")
        return FileSource(f"file://{self.folder}/labels.csv")

    def jsonl(self, *keys: Any) -> FileSource:
        lines = [json.dumps({"customer": key, "day": "2013-01-05", "churned": 1}) for key in keys]
        (self.folder / "labels.jsonl").write_text("\n".join(lines) + "\n")
        return FileSource(f"file://{self.folder}/labels.jsonl")

    def rows(self, *keys: Any, kind: pa.DataType | None = None) -> PythonSource:
        count = len(keys)
        table = pa.table({"customer": pa.array(keys, kind), "day": [AT] * count, "churned": [True] * count})
        return PythonSource(lambda partition: table)

    def labelled(self, dataset: Any) -> int:
        """Return how many rows of the data have a label when a model is trained."""
        rows = labelled.read(labelled.with_labels(dataset, self.labels, "churned"))
        return len(rows) - int(rows["churned"].null_count)

    def stored(self) -> list[Any]:
        return sorted(tables.read(self.labels)["customer"].to_pylist())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_digits_stay_text_where_the_key_of_the_data_is_text(store: Store) -> None:
    data = store.publish(["A12", "007", "0815"], pa.string())
    report = store.bring(store.csv("007", "0815"))
    assert (report.new, report.unmatched) == (2, Unmatched())
    assert store.stored() == ["007", "0815"]
    assert store.bring(store.csv("A12")).new == 1
    assert store.labelled(data) == 3


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ([Decimal("1.00"), Decimal("2.50")], pa.decimal128(10, 2)),
        ([1.0, 2.5], pa.float64()),
    ],
    ids=str,
)
def test_the_same_number_is_the_same_key_however_it_is_written(
    store: Store, keys: list[Any], kind: pa.DataType
) -> None:
    data = store.publish(keys, kind)
    sources = [
        store.csv("1", "2.5"), store.rows("1.00", "2.50"), store.rows(1.0, 2.5), store.jsonl(1, 2.5),
        store.rows(1, kind=pa.int32()), store.rows(Decimal("1.0"), Decimal("2.500")),
    ]  # fmt: skip
    sources.append(store.csv("1.00", "2.50"))
    for source in sources:
        report = store.bring(source)
        assert report.unmatched is not None
        assert report.unmatched.total == 0, report
    assert store.labelled(data) == len(store.stored()) == 2


@pytest.mark.parametrize("written", ["1", "1.00", "01"])
def test_whole_numbers_match_as_text_and_as_decimals(store: Store, written: str) -> None:
    data = store.publish([1, 2], pa.int64())
    for source in (store.csv(written), store.rows(written), store.rows(Decimal("1.00"))):
        assert store.bring(source).unmatched.total == 0  # type: ignore[union-attr]
    assert store.labelled(data) == 1


def test_labels_of_no_published_row_are_counted_by_what_keeps_them_from_it(store: Store) -> None:
    store.publish(["a", "b"], pa.string())
    store.publish(["c"], pa.string(), "2013-02")
    table = pa.table({
        "customer": ["a", "b ", "c", "a", "d"],
        "day": pa.array([AT, AT, AT, AT.replace(month=3), AT], pa.timestamp("us", "UTC")),
        "churned": [1, 1, 1, 0, None],
    })  # fmt: skip
    report = store.bring(PythonSource(lambda partition: table))
    assert (report.rows, report.new, report.empty) == (4, 4, 1)
    assert report.unmatched == Unmatched(unknown=1, elsewhere=1, unpublished=1)
    check = policy.unmatched(report, 0.5)
    assert check is not None
    assert (check.verdict, check.observed, check.n) == ("FAIL", 0.75, 4)
    assert check.reason == (
        "3 of 4 labels belong to no published row: 1 have a key that the data lacks; 1 have the event time of another "
        "partition than their row; 1 are of partitions that are not published"
    )
    again = policy.unmatched(report, 0.75)
    assert again is not None
    assert again.verdict == "PASS"


def test_labels_that_precede_the_data_keep_their_digits(store: Store) -> None:
    report = store.bring(store.csv("007", "0815"))
    assert report.unmatched == Unmatched(unpublished=2)
    assert store.labelled(store.publish(["007", "0815"], pa.string())) == 2
    assert store.bring(store.csv("007")).unmatched == Unmatched()


def test_a_label_whose_key_the_data_cannot_have_is_set_aside_and_counted(store: Store) -> None:
    data = store.publish([7, 8], pa.int64())
    report = store.bring(store.csv("7", "8", "A12"))
    assert report.unmatched == Unmatched(unknown=1, retyped={"customer": ("string", "int64")})
    assert (report.rows, report.new, store.stored()) == (3, 2, [7, 8])
    assert store.labelled(data) == 2
    check = policy.unmatched(report, 0.1)
    assert check is not None
    assert "'customer' is string in labels.source and int64 in the data" in check.reason
    alone = store.bring(store.csv("A13"))
    assert (alone.rows, alone.new, alone.touched) == (1, 0, ())
    assert alone.unmatched is not None
    assert alone.unmatched.unknown == 1


def test_keys_of_several_columns_match_all_together(store: Store) -> None:
    store.publish(["a", "b"], pa.string())
    table = pa.table({"customer": ["a", "b"], "day": [AT, AT.replace(day=6)], "churned": [1, 0]})
    report = labels.write(
        store.labels, table, month("2013-01"), key=["customer", "day"], event_time="day", target="churned",
        task="classification", data=store.data,
    )  # fmt: skip
    assert report.unmatched == Unmatched(unknown=1)


def test_a_table_whose_keys_were_once_read_as_numbers_says_what_to_do(store: Store) -> None:
    data = store.publish(["7", "007"], pa.string())
    former = pa.table({"customer": [7], "day": [AT], "churned": [1]})
    settings: dict[str, Any] = {"key": ["customer"], "event_time": "day", "target": "churned"}
    labels.write(store.labels, former, month("2013-01"), task="classification", **settings)
    # What such a table can hold is still taken, and read.
    assert store.bring(store.csv("7")).new == 0
    assert store.labelled(data) == 1
    with pytest.raises(SchemaMismatch, match=r"'customer' as int64, .* move that table away"):
        store.bring(store.csv("007"))
    assert store.stored() == [7]


def test_a_source_whose_keys_are_no_keys_is_an_error(store: Store) -> None:
    store.publish(["a"], pa.string())
    with pytest.raises(SchemaMismatch, match="'customer' is list<.*: a key is text, a number or a time"):
        store.bring(store.rows(["a"]))
    assert not tables.exists(store.labels)


def test_predictions_are_sliced_by_data_whose_key_has_become_wider_since(store: Store) -> None:
    data = store.publish([1.0, 2.0], pa.float64())
    truth = Truth(data, Question(target="churned", task="classification", metric="roc_auc"))
    served = pa.table({"customer": pa.array([1, 2], pa.int64())})
    assert truth.with_columns(served, month("2013-01"), ["wind"])["wind"].to_pylist() == [1.0, 1.0]


BERLIN = "day Europe/Berlin"


def rides(folder: Path) -> str:
    """Publish a ride that began at half past two on a Monday in Berlin, whose key holds its beginning."""
    began = datetime(2024, 7, 15, 0, 30, tzinfo=UTC)
    uri, rows = (
        f"file://{folder}/rides",
        pa.table({"car": ["a"], "began": pa.array([began], pa.timestamp("us", "UTC"))}),
    )
    tables.publish(
        uri, rows, name="rides", grain=BERLIN, partition="2024-07-15", key=["car", "began"], event_time="began",
        source="test", run="test",
    )  # fmt: skip
    return uri


@pytest.mark.parametrize(
    "began", ["2024-07-15 02:30:00", "2024-07-15T02:30:00+02:00", "2024-07-15T00:30:00Z"]
)
def test_times_of_labels_are_read_as_those_of_the_data(began: str, tmp_path: Path) -> None:
    lines = ["car,began,labelled_at,minutes", f"a,{began},2024-07-16 01:00:00,5"]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    report = labels.ingest(
        FileSource(f"file://{tmp_path}/labels.csv"), Partition.parse("2024-07-16", BERLIN), uri=f"file://{tmp_path}/labels",
        key=["car", "began"], event_time="began", target="minutes", task="regression", data=rides(tmp_path),
    )  # fmt: skip
    assert (report.touched, report.unmatched) == (
        ("2024-07-15",),
        Unmatched(unknown=0, elsewhere=0, unpublished=0),
    )
    [label] = tables.read(f"file://{tmp_path}/labels").to_pylist()
    assert label["labelled_at"] == datetime(2024, 7, 15, 23, tzinfo=UTC)


def test_labels_of_other_partitions_than_those_of_the_data_are_refused(tmp_path: Path) -> None:
    rows = pa.table({"car": ["a"], "began": [datetime.fromisoformat("2024-07-15")], "minutes": [5.0]})
    with pytest.raises(OtherPartitions, match="is a day, and 'rides' has partitions of a day Europe/Berlin"):
        labels.write(
            f"file://{tmp_path}/labels", rows, Partition.parse("2024-07-15", "day"), key=["car", "began"],
            event_time="began", target="minutes", task="regression", data=rides(tmp_path),
        )  # fmt: skip
