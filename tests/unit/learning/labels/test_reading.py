from __future__ import annotations

import json
import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.domain.facts.labels import LabelsReport, Unmatched
from airflow_mlops.exceptions import SchemaMismatch, SourceUnreadable
from airflow_mlops.hooks.sources import FileSource, SqlSource
from airflow_mlops.learning.labels import labels
from airflow_mlops.stores.sources.python import PythonSource
from airflow_mlops.stores.tables import tables
from history import month

GERMAN = {"delimiter": ";", "decimal": ",", "thousands": "."}


class Store:
    """Published rows, files of labels, and the table that these are brought into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.labels = (f"file://{folder}/{name}" for name in ("data", "labels"))

    def publish(self, keys: list[Any], kind: pa.DataType | None = None) -> None:
        at = pa.array([datetime(2013, 1, 2, tzinfo=UTC)] * len(keys), pa.timestamp("us", "UTC"))
        tables.publish(
            self.data, pa.table({"id": pa.array(keys, kind), "at": at}), name="d", grain="month", partition="2013-01",
            key=["id"], event_time="at", source="test", run="test",
        )  # fmt: skip

    def csv(self, *rows: str, header: str = "id;at;y", **options: Any) -> FileSource:
        (self.folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
        return FileSource(f"file://{self.folder}/labels.csv", **{"delimiter": ";", **options})

    def jsonl(self, *keys: str) -> FileSource:
        rows = [f'{{"id": {key}, "at": "2013-01-02", "y": 1}}' for key in keys]
        (self.folder / "labels.jsonl").write_text("\n".join(rows) + "\n")
        return FileSource(f"file://{self.folder}/labels.jsonl")

    def bring(self, source: Any, task: str = "classification", key: str = "id") -> LabelsReport:
        return labels.ingest(
            source, month("2013-01"), uri=self.labels, key=[key], event_time="at", target="y", task=task,
            data=self.data,
        )  # fmt: skip

    def stored(self) -> dict[Any, Any]:
        return {row["id"]: row["y"] for row in tables.read(self.labels).to_pylist()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


BAD = ["", "zz;2013-01-02;1"]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    ("keys", "written", "options"),
    [
        ([5, 5000, 7123], {"5.000": 5000, "7.123": 7123}, GERMAN),
        ([1.5, 2.25], {"1,50": 1.5, "2,25": 2.25}, GERMAN),
        ([12, 7], {" 12": 12, "007": 7}, {}),
        ([0.29, 29.0], {"29 %": 0.29}, {"percent": ["id"]}),
        ([9007199254740992, 9007199254740993], {"9.007.199.254.740.993": 9007199254740993}, GERMAN),
        (
            [datetime(2013, 2, 1, tzinfo=UTC), datetime(2013, 1, 2, tzinfo=UTC)],
            {"01.02.2013 00:00": datetime(2013, 2, 1, tzinfo=UTC)},
            {"times": {"id": "%d.%m.%Y %H:%M"}},
        ),
    ],
    ids=["thousands", "decimal", "blanks", "percent", "digits", "times"],
)
def test_a_key_is_read_by_the_notation_of_its_file_whatever_other_cells_hold(
    store: Store, keys: list[Any], written: dict[str, Any], options: dict[str, Any], bad: str
) -> None:
    store.publish(keys)
    rows = [f"{text};2013-01-02;{place % 2}" for place, text in enumerate(written)]
    report = store.bring(store.csv(*rows, *filter(None, [bad]), **options))
    assert store.stored() == {key: place % 2 for place, key in enumerate(written.values())}
    assert report.unmatched is not None
    assert (report.rows, report.new) == (len(written) + bool(bad), len(written))
    assert (report.unmatched.total, report.unmatched.unknown) == (bool(bad), bool(bad))
    assert set(report.unmatched.retyped) == ({"id"} if bad else set())


def test_an_unreadable_key_without_a_label_is_a_row_without_a_label(store: Store) -> None:
    store.publish([5000])
    report = store.bring(
        store.csv("5.000;2013-01-02;1", "zz;2013-01-02;", "yy;2013-01-02;0", "6.000;2013-01-02;", **GERMAN)
    )
    assert (report.rows, report.new, report.empty) == (2, 1, 2)
    assert report.unmatched == Unmatched(unknown=1, retyped={"id": ("string", "int64")})


def test_the_label_of_an_unreadable_key_must_be_one_too(store: Store) -> None:
    store.publish([5])
    with pytest.raises(SchemaMismatch, match="'y'"):
        store.bring(store.csv("5;2013-01-02;1", "zz;2013-01-02;7"))
    assert not tables.exists(store.labels)


def test_keys_of_json_are_the_same_in_quotes(store: Store) -> None:
    store.publish([7, 12, 9007199254740993])
    report = store.bring(store.jsonl('"7"', '"A12"', '" 12"', '"9007199254740993"'))
    assert store.stored() == {7: 1, 12: 1, 9007199254740993: 1}
    assert report.unmatched == Unmatched(unknown=1, retyped={"id": ("string", "int64")})


def test_keys_whose_notation_nobody_can_apply_yet_are_refused_before_the_data_is_published(
    store: Store,
) -> None:
    with pytest.raises(
        SchemaMismatch, match=r"'id' holds '5\.000', .* publish a partition of the data first"
    ):
        store.bring(store.csv("5;2013-01-02;1", "5.000;2013-01-02;1", **GERMAN))
    assert store.bring(store.csv("5;2013-01-02;1", "A-1.5;2013-01-02;1", **GERMAN)).new == 2


def test_a_key_that_is_text_in_the_data_stays_as_it_is_written(store: Store) -> None:
    store.publish(["5.000", "5"])
    assert store.bring(store.csv("5.000;2013-01-02;1", **GERMAN)).unmatched == Unmatched()
    assert store.stored() == {"5.000": 1}


def test_values_of_a_target_are_read_by_the_notation_of_their_file_or_refused(store: Store) -> None:
    store.publish([1, 2])
    assert store.bring(store.csv("1;2013-01-02;5.000", "2;2013-01-02;1,5", **GERMAN), "regression").new == 2
    assert store.stored() == {1: 5000.0, 2: 1.5}
    # As plain text it would be five and one and a half.
    with pytest.raises(
        SchemaMismatch, match=r"'y' cannot be read as double in 1 of 2 values: '1.5' \(line 3 of"
    ):
        store.bring(store.csv("1;2013-01-02;5.000", "2;2013-01-02;1.5", **GERMAN), "regression")


def test_a_target_in_another_notation_than_the_file_is_said_to_have_says_what_to_write(store: Store) -> None:
    store.publish([1, 2])
    rows = [f"{number};2013-01-02;{number},25" for number in range(9)]
    with pytest.raises(SchemaMismatch, match=r"'y' cannot be read as double in 9 of 9 .* decimal: ','"):
        store.bring(store.csv(*rows, thousands=" "), "regression")


@pytest.mark.parametrize(("name", "task"), [("id", "classification"), ("y", "regression")])
def test_numbers_that_are_text_by_types_are_not_read_without_their_notation(
    store: Store, name: str, task: str
) -> None:
    store.publish([5, 5000])
    source = store.csv("5.000;2013-01-02;1", types={name: "string"}, **GERMAN)
    with pytest.raises(
        SchemaMismatch, match=f"'{name}' is text by types of the source.* take it out of types"
    ):
        store.bring(source, task)
    assert not tables.exists(store.labels)


def test_times_of_a_key_may_differ_in_their_offset_where_another_column_has_a_format(store: Store) -> None:
    store.publish([datetime(2013, 1, 3, tzinfo=UTC), datetime(2013, 1, 4, tzinfo=UTC)])
    rows = ["2013-01-03 00:00:00;02.01.2013;1", "2013-01-04T01:00:00+01:00;02.01.2013;0"]
    assert store.bring(store.csv(*rows, times={"at": "%d.%m.%Y"})).unmatched.total == 0  # type: ignore[union-attr]
    bad = store.bring(store.csv(*rows, "zz;02.01.2013;0", times={"at": "%d.%m.%Y"})).unmatched
    assert bad is not None
    assert (bad.total, bad.unknown) == (1, 1)


def test_whole_keys_that_fractions_beside_them_would_round_are_refused(store: Store) -> None:
    store.publish([9007199254740992, 9007199254740993])
    sources = [
        store.csv("9007199254740993;2013-01-02;1", "1.5;2013-01-02;1"),
        PythonSource(
            lambda partition: pa.table({"id": [2.0**53], "at": [datetime(2013, 1, 2, tzinfo=UTC)], "y": [1]})
        ),
    ]
    for source in sources:
        with pytest.raises(SchemaMismatch, match="'id' is read as fractions, .* lose their last digits"):
            store.bring(source)
    assert not tables.exists(store.labels)


@pytest.mark.parametrize("beyond", ["inf", "1e300", "1.5"])
def test_a_number_that_the_key_cannot_be_is_a_stranger(store: Store, beyond: str) -> None:
    store.publish([5])
    report = store.bring(store.csv("5;2013-01-02;1", f"{beyond};2013-01-02;1"))
    assert (report.new, report.unmatched and report.unmatched.unknown) == (1, 1)
    assert store.stored() == {5: 1}


def test_a_time_of_labels_that_cannot_be_read_is_refused_with_its_line(store: Store) -> None:
    store.publish([5])
    source = store.csv("5;02.01.2013;1", "5;2013-01-02;1", times={"at": "%d.%m.%Y"})
    with pytest.raises(SchemaMismatch, match=r"'at' cannot be read as a time .* '2013-01-02' \(line 3 of"):
        store.bring(source)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("id;other;y", r"'at' \(the event time of the row\) must be there once; there is id, other, y\. .* rename the column"),
        ("other;at;y", r"'id' \(of the key\)"),
        ("id;at;other", r"'y' \(the target\)"),
    ],
)  # fmt: skip
def test_labels_without_a_column_say_what_it_is_for(store: Store, header: str, message: str) -> None:
    store.publish([5])
    with pytest.raises(SchemaMismatch, match=message):
        store.bring(store.csv("5;2013-01-02;1", header=header))


@pytest.mark.parametrize("format", ["csv", "jsonl", "frame"])
def test_a_text_among_numbers_without_named_classes_is_told_with_its_place(
    store: Store, format: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.publish(["a", "b", "c", "d"])
    values = ["0", "1", "none", "1"]
    rows = [{"id": name, "at": "2013-01-02", "y": y} for name, y in zip("abcd", values, strict=True)]
    (store.folder / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    source = {
        "csv": store.csv(*(f"{row['id']};{row['at']};{row['y']}" for row in rows)),
        "jsonl": FileSource(f"file://{store.folder}/labels.jsonl"),
        "frame": PythonSource(lambda partition: pa.Table.from_pylist(rows)),
    }[format]
    store.bring(source)
    assert store.stored() == dict(zip("abcd", values, strict=True))
    place = f"line 4 of {store.folder}/labels.csv" if format == "csv" else "row 3"
    (said,) = [record.getMessage() for record in caplog.records if "names of classes" in record.getMessage()]
    assert f"'y' holds numbers or truth values, and 1 of 4 is none: 'none' ({place}). So all of them" in said


@pytest.mark.parametrize("values", [["0", "1", "1"], ["cheap", "dear", "7"], ["true", "false", ""]])
def test_labels_of_one_sort_are_nothing_to_tell(
    store: Store, values: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    store.publish([5, 6, 7])
    store.bring(store.csv(*(f"{key};2013-01-02;{y}" for key, y in zip((5, 6, 7), values, strict=True))))
    assert "names of classes" not in caplog.text


@pytest.mark.parametrize(
    "options", [{"types": {"id": "int64"}}, {}, GERMAN, GERMAN | {"types": {"id": "int64"}}]
)
def test_types_of_a_source_of_labels_refuse_no_key(store: Store, options: dict[str, Any]) -> None:
    store.publish([5, 6])
    report = store.bring(store.csv("5;2013-01-02;1", "zz;2013-01-02;0", "6;2013-01-02;0", **options))
    assert store.stored() == {5: 1, 6: 0}
    assert report.unmatched == Unmatched(unknown=1, retyped={"id": ("string", "int64")})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("6;2013-01-02;few", "'y' cannot be read as double in 1 of 2 values: 'few' (line 3 of labels.csv)"),
        (
            "6;02.01.2013;2",
            "'at' cannot be read as a time in 1 of 2 values: '02.01.2013' (line 3 of labels.csv)",
        ),
    ],
)
def test_a_label_or_time_that_cannot_be_read_is_shown_with_its_line(
    store: Store, row: str, said: str
) -> None:
    store.publish([5, 6])
    with pytest.raises(SchemaMismatch, match=re.escape(said)):
        store.bring(store.csv("5;2013-01-02;1", row), task="regression")
    assert not tables.exists(store.labels)


@pytest.mark.parametrize(
    ("task", "rows"), [("classification", ["0", "1", "SECRET"]), ("regression", ["1", "2", "SECRET"])]
)
def test_labels_that_are_personal_data_are_not_shown(
    store: Store, task: str, rows: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    store.publish([5, 6, 7])
    source = store.csv(*(f"{key};2013-01-02;{y}" for key, y in zip((5, 6, 7), rows, strict=True)))
    said = ""
    try:
        labels.ingest(
            source, month("2013-01"), uri=store.labels, key=["id"], event_time="at", target="y", task=task,
            data=store.data, pii=["y"],
        )  # fmt: skip
    except SchemaMismatch as error:
        said = str(error)
    assert "line 4 of" in said + caplog.text
    assert "SECRET" not in said + caplog.text


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("pii", [[], ["y"]])
def test_labels_of_several_kinds_in_a_database_are_told_and_not_shown_where_personal(
    store: Store, monkeypatch: pytest.MonkeyPatch, task: str, pii: list[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LITE", f"sqlite:///{store.folder}/labels.db")
    with sqlite3.connect(store.folder / "labels.db") as connection:
        connection.execute("create table labels (id integer, at text, y)")
        rows = [(5, "2013-01-02", 1), (6, "2013-01-02", 0.5), (7, "2013-01-02", "SECRET")]
        connection.executemany("insert into labels values (?, ?, ?)", rows)
    connection.close()
    store.publish([5, 6, 7])
    with pytest.raises((SchemaMismatch, SourceUnreadable)) as raised:
        labels.ingest(
            SqlSource("lite", "select * from labels order by id"), month("2013-01"), uri=store.labels, key=["id"],
            event_time="at", target="y", task=task, data=store.data, pii=pii,
        )  # fmt: skip
    assert "'y'" in str(raised.value)
    assert "row 3" in str(raised.value)
    assert ("SECRET" in str(raised.value)) is not bool(pii)


@pytest.mark.parametrize("key", [5, 9])
@pytest.mark.parametrize(
    ("classes", "label"),
    [(("no", "yes"), "SECRET"), (("1", "2"), "4711"), ((), "4711"), (("0", "1"), "0.4711")],
)
def test_labels_that_are_personal_data_and_no_class_are_not_shown(
    store: Store, classes: tuple[str, ...], label: str, key: int
) -> None:
    store.publish([5, 6])
    said = {}
    for pii in ([], ["y"]):
        with pytest.raises(SchemaMismatch) as raised:
            labels.ingest(
                store.csv(f"{key};2013-01-02;{label}"), month("2013-01"), uri=store.labels, key=["id"], event_time="at",
                target="y", task="classification", data=store.data, classes=classes, pii=pii,
            )  # fmt: skip
        said[bool(pii)] = str(raised.value)
    assert label in said[False]
    assert label not in said[True]
    assert raised.value.__cause__ is None
    assert "of 1 values of 'y' some are none of the classes" in said[True]
