from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.domain.facts.results import DatasetVersion, Difference
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.data import SchemaPolicy
from airflow_mlops.exceptions import BadRows, EmptyPartition, SchemaMismatch, SourceChanging, TableUnreadable
from airflow_mlops.stages.ingest import ingest
from airflow_mlops.stores.tables import tables

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

JANUARY, FEBRUARY, MARCH = (Partition.parse(f"2013-{month:02}", "month") for month in (1, 2, 3))
STRICT, ADD, EVOLVE = SchemaPolicy


@dataclass
class Given:
    """A source of given tables, a batch each."""

    parts: Sequence[dict[str, Any] | pa.Table]
    stamps: Iterator[str] = field(default_factory=lambda: iter(["1"] * 100))

    def batches(
        self, partition: Partition | None, types: Mapping[str, str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        for part in self.parts:
            yield from pa.table(part).to_batches()

    def describe(self, partition: Partition | None) -> str:
        return f"given-{partition.key if partition else 'all'}.csv"

    def stamp(self, partition: Partition | None) -> str | None:
        return next(self.stamps)


@dataclass(frozen=True)
class Dataset:
    """The tables of one dataset."""

    folder: Path

    def uri(self, table: str) -> str:
        return f"file://{self.folder}/flights/{table}"

    def stage(
        self,
        *parts: dict[str, Any] | pa.Table,
        partition: Partition = JANUARY,
        source: Any = None,
        **changes: Any,
    ) -> DatasetVersion:
        arguments: dict[str, Any] = {
            "uri": self.uri("staging"),
            "published": self.uri("data"),
            "name": "flights",
            "key": ["id"],
            "event_time": "at",
            "run": "run",
        }
        return ingest.stage(source or Given(parts), partition, **arguments | changes)

    def publish(self, *parts: dict[str, Any] | pa.Table, **changes: Any) -> DatasetVersion:
        return ingest.publish(self.stage(*parts, **changes), uri=self.uri("data"), run="run")

    def rows(self, partition: Partition | None = None, table: str = "data") -> list[dict[str, Any]]:
        key = partition.key if partition else None
        return sorted(tables.read(self.uri(table), partition=key).to_pylist(), key=lambda row: str(row["id"]))

    def files(self) -> set[str]:
        return {str(path) for path in self.folder.rglob("*.parquet")}


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return Dataset(tmp_path)


class Doubled:
    """A transform that needs rows to make its column."""

    version = "own:double@1"

    def __call__(self, rows: pa.Table, partition: Partition, /) -> pa.Table:
        return rows.append_column("twice", pa.array([2 * each for each in rows["late"].to_pylist()]))


def make_columns(partition: Partition = JANUARY, **changes: Any) -> dict[str, Any]:
    times = [f"{partition.key}-01", f"{partition.key}-28 23:59:59"]
    columns = {"id": [1, 2], "at": times, "x": [1.5, None], "late": [0, 1]} | changes
    return {name: values for name, values in columns.items() if values is not None}


def kinds(version: DatasetVersion) -> dict[str, str]:
    return version.columns


def test_a_staged_partition_is_published_as_it_is(data: Dataset) -> None:
    staged = data.stage(make_columns(), make_columns(id=[3, 4]))
    assert (staged.rows, staged.partition, staged.grain) == (4, "2013-01", "month")
    assert not tables.exists(data.uri("data"))
    published = ingest.publish(staged, uri=data.uri("data"), run="later")
    assert published.digest == staged.digest == tables.digest(tables.read(data.uri("data")))
    assert published == tables.published(data.uri("data"), "2013-01")
    assert data.rows() == data.rows(table="staging")
    (commit,) = tables.history(data.uri("data"))
    assert (commit.run, commit.source, commit.version) == ("later", "given-2013-01.csv", published)


def test_batches_come_in_the_order_of_read_and_of_the_source(data: Dataset) -> None:
    parts = [make_columns(id=[4 * part, 4 * part + 1]) for part in range(5)]
    data.publish(*parts)
    data.publish(make_columns(FEBRUARY), partition=FEBRUARY)
    reader = tables.batches(data.uri("data"), partition="2013-01", columns=["id"])
    assert reader.read_all()["id"].to_pylist() == [0, 1, 4, 5, 8, 9, 12, 13, 16, 17]
    assert tables.batches(data.uri("data")).read_all().equals(tables.read(data.uri("data")))


def test_the_same_content_again_writes_nothing_and_says_so(data: Dataset) -> None:
    first, files = data.publish(make_columns()), data.files()
    again = data.publish(make_columns(id=[2, 1], at=make_columns()["at"][::-1], x=[None, 1.5], late=[1, 0]))
    assert again == first.model_copy(update={"changed": False})
    assert data.files() == files
    assert len(list(tables.versions(data.uri("data")))) == 1


def test_a_corrected_partition_says_how_many_rows_it_changed_and_leaves_the_others_alone(
    data: Dataset,
) -> None:
    data.publish(make_columns(id=[1, 2]))
    data.publish(make_columns(FEBRUARY), partition=FEBRUARY)
    later = {path for path in data.files() if "2013-02" in path}
    stamps = {path: Path(path).stat().st_mtime_ns for path in later}
    version = data.publish(make_columns(id=[2, 3]), make_columns(id=[4, 5]))
    assert version.difference == Difference(added=3, removed=1, changed=1)
    assert tables.published(data.uri("data"), "2013-01") == version
    assert {path: Path(path).stat().st_mtime_ns for path in later} == stamps
    february = tables.published(data.uri("data"), "2013-02")
    assert february is not None
    assert february.digest == tables.digest(tables.read(data.uri("data"), partition="2013-02"))


def test_one_changed_row_is_a_new_version(data: Dataset) -> None:
    data.publish(make_columns())
    version = data.publish(make_columns(x=[1.5, 7.0]))
    assert (version.changed, version.difference) == (True, Difference(added=0, removed=0, changed=1))


def test_the_same_content_prepared_by_other_code_is_a_new_version(data: Dataset) -> None:
    data.publish(make_columns())
    version = data.publish(make_columns(), transform=Prepared("features:make@1"))
    assert (version.transform, version.changed) == ("features:make@1", True)
    assert version.difference == Difference(added=0, removed=0, changed=0)


@dataclass(frozen=True)
class Prepared:
    """A transform that doubles x, and makes a column."""

    version: str
    function: Callable[[pa.Table], pa.Table] = lambda rows: rows

    def __call__(self, rows: pa.Table, partition: Partition) -> pa.Table:
        return self.function(rows)


def test_what_a_transform_makes_is_what_is_checked(data: Dataset) -> None:
    def rename(rows: pa.Table) -> pa.Table:
        return rows.rename_columns({"number": "id", "x": "wind"})

    raw = {"number" if name == "id" else name: values for name, values in make_columns().items()}
    version = data.stage(raw, transform=Prepared("features:make@1", rename), required=["wind"])
    assert set(version.columns) == {"id", "at", "wind", "late"}
    with pytest.raises(SchemaMismatch, match="lacks 'x'"):
        data.stage(raw, transform=Prepared("features:make@1", rename), required=["x"])


class SourceBroke(Exception):
    """What a source may raise."""


def test_a_source_that_fails_halfway_leaves_nothing(data: Dataset) -> None:
    class Failing(Given):
        def batches(self, *_: Any, **__: Any) -> Iterator[pa.RecordBatch]:
            yield from pa.table(make_columns()).to_batches()
            raise SourceBroke

    with pytest.raises(SourceBroke):
        data.stage(source=Failing(()))
    assert not data.files()
    assert not tables.exists(data.uri("staging"))


def test_data_that_changes_while_it_is_read_is_not_staged(data: Dataset) -> None:
    with pytest.raises(SourceChanging, match=r"given-2013-01\.csv changed while it was read"):
        data.stage(source=Given([make_columns()], iter(["1", "2"])))
    assert not data.files()


@pytest.mark.parametrize("parts", [[], [{name: pa.array([], pa.string()) for name in make_columns()}]])
def test_no_rows_fail_with_partition_and_source(data: Dataset, parts: list[Any]) -> None:
    with pytest.raises(EmptyPartition, match=r"partition 2013-01 of given-2013-01.csv has no rows"):
        data.stage(*parts)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"id": [1, 1]}, BadRows, r": 1 key \(id\) stands more than once$"),
        ({"id": [1, None]}, BadRows, "1 row has no 'id', which is part of the key"),
        ({"at": ["2013-01-01", None]}, BadRows, "1 row has no 'at'"),
        (
            {"at": ["2013-01-01", "2013-02-01"]},
            BadRows,
            "runs from 2013-01-01 00:00 to 2013-02-01 00:00, outside",
        ),
        ({"at": ["2013-01-01", "2999-01-01"]}, BadRows, "to 2999-01-01 00:00, outside of 2013-01-01"),
        (
            {"at": pa.array([0, 2**58], pa.timestamp("us"))},
            BadRows,
            "'at' has times before year 1 or after 9999",
        ),
        (
            {"id": [1.0, 2.0**53]},
            BadRows,
            r"'id', .* is double with values of 2\^53 or more.*types: {id: string}",
        ),
        ({"at": [1, 2]}, SchemaMismatch, "'at' is int64, not a time"),
        ({"at": ["yesterday", "today"]}, SchemaMismatch, "'at' cannot be read as a time"),
        ({"_partition": ["a", "b"]}, SchemaMismatch, "has '_partition', which our tables add"),
        ({"_reason": ["a", "b"]}, SchemaMismatch, "has '_reason', which our tables add"),
        ({"_by": ["a", "b"]}, SchemaMismatch, "has '_by', which our tables add"),
        ({"_at": ["a", "b"]}, SchemaMismatch, "has '_at', which our tables add"),
        ({"_Columns": ["a", "b"]}, SchemaMismatch, "has '_Columns', which our tables add"),
        ({"at": None}, SchemaMismatch, "lacks 'at'; it has 'id', 'x', 'late'"),
        ({"span": [timedelta(1), None]}, SchemaMismatch, "'span' is duration.*cannot keep"),
    ],
)
def test_bad_rows_and_columns_are_named_and_nothing_is_written(
    data: Dataset, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        data.stage(make_columns(**changes))
    assert isinstance(raised.value, error)
    assert not data.files()


def test_a_key_that_stands_in_two_batches_is_found(data: Dataset) -> None:
    with pytest.raises(BadRows, match=r": 1 key \(id\) stands more than once$"):
        data.stage(make_columns(), make_columns(id=[2, 3]))


def test_many_repeated_keys_are_counted(data: Dataset) -> None:
    many = pa.table({"id": range(5000), "at": [JANUARY.start] * 5000})
    with pytest.raises(BadRows, match=r"5,000 keys \(id\) stand more than once"):
        data.stage(many, many)


def test_keys_whose_digests_collide_are_looked_at_again(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    monkeypatch.setattr(
        "airflow_mlops.stages.ingest.promises.rows", lambda table: np.zeros(len(table), np.uint64)
    )
    assert data.stage(make_columns()).rows == 2
    with pytest.raises(BadRows, match=": 1 key "):
        data.stage(make_columns(id=[1, 1]))


def test_duplicate_column_names_are_refused(data: Dataset) -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(SchemaMismatch, match="columns of one name: 'x'"):
        data.stage(twice)


def test_times_are_read_with_the_offset_that_they_name_or_as_utc(data: Dataset) -> None:
    # The hour that the end of daylight-saving time repeats is told apart by its offset.
    november = Partition.parse("2013-11", "month")
    texts = [
        "2013-11-03 01:30:00-04:00",
        "2013-11-03T01:30:00-05:00",
        "2013-11-03 01:30",
        "2013-11-03T06:30Z",
    ]
    data.publish({"id": [1, 2, 3, 4], "at": texts}, partition=november)
    hours = [row["at"].strftime("%H:%M") for row in data.rows()]
    assert hours == ["05:30", "06:30", "01:30", "06:30"]
    eastern = pa.array([datetime(2013, 11, 3, 6, 30, tzinfo=UTC)] * 2, pa.timestamp("ns", "America/New_York"))
    data.publish({"id": [1, 2], "at": eastern}, partition=november)
    assert {row["at"] for row in data.rows()} == {datetime(2013, 11, 3, 6, 30, tzinfo=UTC)}


def test_odd_values_that_are_no_mistake_pass(data: Dataset) -> None:
    odd = make_columns(x=[float("inf"), float("-inf")], text=["x" * 1_000_000, "=1+1"], nothing=[None, None])
    version = data.publish(odd)
    assert version.columns["nothing"] == "null"
    assert [len(row["text"]) for row in data.rows()] == [1_000_000, 4]
    assert data.publish(pa.table(odd).slice(0, 1)).rows == 1


def test_a_column_without_values_at_first_takes_the_type_it_has_later(data: Dataset) -> None:
    first, second = make_columns(x=[None, None]), make_columns(id=[3, 4], x=[7, None])
    assert data.publish(first, second).columns["x"] == "int64"
    assert data.publish(first, partition=JANUARY).columns["x"] == "int64"


def test_reordered_columns_and_lossless_types_take_the_form_they_had(data: Dataset) -> None:
    first = data.publish(make_columns())
    again = make_columns(x=[1, 2], late=[0.0, 1.0], at=[JANUARY.start, JANUARY.start])
    version = data.publish({name: again[name] for name in reversed(again)})
    assert version.columns == first.columns


def test_every_difference_is_named_one_by_one_with_what_would_allow_it(data: Dataset) -> None:
    data.publish(make_columns(wind_speed=[1, 2]))
    odd = make_columns(late=None, late_flag=[0, 1], extra=[1, 2], wind_speed=None)
    with pytest.raises(SchemaMismatch) as caught:
        data.stage(odd)
    said = str(caught.value)
    assert said.startswith("partition 2013-01 of given-2013-01.csv has another schema: ")
    assert "column 'late' is lost (renamed to 'late_flag'? rename it back in the source)" in said
    assert "column 'wind_speed' is lost (" in said
    assert "column 'extra' is new (`schema: add` would take it)" in said
    with pytest.raises(SchemaMismatch, match=r"'x' is string, was double \(no policy allows that"):
        data.stage(make_columns(x=["a", "b"], wind_speed=[1, 2]))
    with pytest.raises(
        SchemaMismatch, match=r"'late' is double, was int64.*`schema: evolve` would make it double"
    ):
        data.stage(make_columns(late=[0.5, 1], wind_speed=[1, 2]))


def test_new_columns_may_be_added_and_older_partitions_read_null(data: Dataset) -> None:
    data.publish(make_columns())
    with pytest.raises(SchemaMismatch, match="'gust' is new"):
        data.publish(make_columns(FEBRUARY, gust=[1, 2]), partition=FEBRUARY)
    data.publish(make_columns(FEBRUARY, gust=[1, 2]), partition=FEBRUARY, policy=ADD)
    assert [row["gust"] for row in data.rows(JANUARY) + data.rows(FEBRUARY)] == [None, None, 1, 2]
    with pytest.raises(SchemaMismatch, match="'gust' is lost"):
        data.publish(make_columns(MARCH), partition=MARCH, policy=ADD)
    # January never had it, so it may come again as it was.
    assert not data.publish(make_columns(), policy=ADD).changed


def test_evolve_takes_lost_columns_and_wider_types_and_widens_the_table(data: Dataset) -> None:
    first = data.publish(make_columns())
    changed = make_columns(FEBRUARY, late=[0.5, 1], x=None)
    version = data.publish(changed, partition=FEBRUARY, policy=EVOLVE)
    assert (version.columns["late"], version.columns["x"]) == ("double", "double")
    assert [row["late"] for row in data.rows(JANUARY) + data.rows(FEBRUARY)] == [0.0, 1.0, 0.5, 1.0]
    assert [row["x"] for row in data.rows(FEBRUARY)] == [None, None]
    # What was published before can be read as it was.
    old = tables.read(data.uri("data"), version=first.version)
    assert (tables.schema_of(old)["late"], tables.digest(old)) == ("int64", first.digest)
    assert tables.coverage(data.uri("data")).partitions == 2


def test_evolve_does_not_turn_numbers_into_text(data: Dataset) -> None:
    data.publish(make_columns())
    with pytest.raises(SchemaMismatch, match="'x' is string, was double"):
        data.stage(make_columns(x=["a", "b"]), policy=EVOLVE)


def test_batches_of_other_types_are_reconciled_or_named(data: Dataset) -> None:
    whole, fractions = make_columns(late=[1, 2]), make_columns(id=[3, 4], late=[1.0, 2.0])
    assert data.stage(whole, fractions).columns["late"] == "int64"
    halves = make_columns(id=[3, 4], late=[1.5, 2.0])
    with pytest.raises(SchemaMismatch, match="'late' is double, was int64 before"):
        data.stage(whole, halves)
    assert data.stage(whole, halves, policy=EVOLVE).columns["late"] == "double"
    with pytest.raises(SchemaMismatch, match="'late' is string, was int64 before"):
        data.stage(whole, make_columns(id=[3, 4], late=["a", "b"]))
    with pytest.raises(SchemaMismatch, match="a later batch lacks 'late'"):
        data.stage(whole, make_columns(id=[3, 4], late=None))


def test_numbers_that_would_be_less_exact_are_not_cast(data: Dataset) -> None:
    data.publish(make_columns(x=pa.array([0.5, 1], pa.float32())))
    assert data.stage(make_columns(x=[0.25, None])).columns["x"] == "float"
    with pytest.raises(SchemaMismatch, match="'x' is double, was float"):
        data.stage(make_columns(x=[0.1, None]))
    data.publish(make_columns(FEBRUARY, x=[0.5, 0.25]), partition=FEBRUARY)
    with pytest.raises(SchemaMismatch, match="'x' is int64, was float"):
        data.stage(make_columns(x=[2**53 + 1, None]))


def test_what_was_staged_in_other_columns_is_forgotten(data: Dataset) -> None:
    data.stage(make_columns(x=["a", "b"]))
    data.publish(make_columns(FEBRUARY), partition=FEBRUARY)
    assert data.rows() == data.rows(FEBRUARY)
    assert tables.schema_of(tables.read(data.uri("staging")))["x"] == "double"


def test_a_table_that_was_widened_since_takes_what_was_staged_before(data: Dataset) -> None:
    data.publish(make_columns())
    staged = data.stage(make_columns(FEBRUARY), partition=FEBRUARY)
    data.publish(make_columns(MARCH, late=[0.5, 1]), partition=MARCH, policy=EVOLVE)
    version = ingest.publish(staged, uri=data.uri("data"), run="run")
    assert version.columns["late"] == "double"
    february = tables.read(data.uri("data"), partition="2013-02")
    assert version.digest == tables.digest(february)
    assert not ingest.publish(staged, uri=data.uri("data"), run="run").changed


def test_a_staged_file_that_is_gone_is_told_and_nothing_is_published(data: Dataset) -> None:
    staged = data.stage(make_columns())
    for path in data.files():
        Path(path).unlink()
    with pytest.raises(TableUnreadable, match="refers to a file that is gone"):
        ingest.publish(staged, uri=data.uri("data"), run="run")
    assert not tables.exists(data.uri("data"))


def test_a_batch_without_rows_needs_no_column_that_a_transform_makes(data: Dataset) -> None:
    rows = pa.table(make_columns())
    version = data.stage(rows.slice(0, 0), rows, rows.slice(0, 0), transform=Doubled(), required=["twice"])
    assert (version.rows, "twice" in version.columns) == (2, True)
    with pytest.raises(EmptyPartition):
        data.stage(rows.slice(0, 0), transform=Doubled(), required=["twice"])


def test_a_key_that_gains_a_column_is_published_without_a_difference(data: Dataset) -> None:
    data.publish(make_columns())
    version = data.publish(make_columns(leg=["a", "b"]), key=["id", "leg"], policy=ADD)
    assert (version.changed, version.difference) == (True, None)


def test_the_same_content_of_a_type_that_was_widened_since_is_no_change(data: Dataset) -> None:
    first = data.publish(make_columns())
    data.publish(make_columns(FEBRUARY, late=[0.5, 1]), partition=FEBRUARY, policy=EVOLVE)
    again = data.publish(make_columns(), policy=EVOLVE)
    assert (again.version, again.changed) == (first.version, False)
    other = data.publish(make_columns(late=[0.5, 1]), policy=EVOLVE)
    assert other.difference == Difference(added=0, removed=0, changed=1)


def test_a_key_that_is_a_text_is_refused(data: Dataset) -> None:
    with pytest.raises(TypeError, match=r"key=\['id'\]"):
        data.stage(make_columns(), key="id")


def test_nested_values_and_bytes_are_read_back_and_the_same_again_is_no_change(data: Dataset) -> None:
    at = datetime(2013, 1, 1, tzinfo=UTC)
    struct = pa.struct([("n", pa.uint8()), ("at", pa.timestamp("ns", "UTC")), ("text", pa.large_string())])
    odd = {
        "struct": pa.array([{"n": 1, "at": at, "text": "a"}, None], struct),
        "list": pa.array([[1], []], pa.list_(pa.uint16())),
        "large": pa.array([["a", None], None], pa.large_list(pa.large_string())),
        "fixed": pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2)),
        "structs": pa.array([[{"n": 1, "at": at, "text": "a"}], []], pa.list_(struct)),
        "map": pa.array([[("a", 1)], []], pa.map_(pa.large_string(), pa.uint8())),
        "two": pa.array([b"ab", None], pa.binary(2)),
        "bytes": pa.array([b"abc", None], pa.large_binary()),
    }
    rows = pa.table(make_columns(**odd))
    first = data.publish(rows)
    assert [{name: row[name] for name in odd} for row in data.rows()] == rows.select(list(odd)).to_pylist()
    assert first.digest == tables.digest(tables.read(data.uri("data")))
    assert not data.publish(rows).changed
    assert data.publish(make_columns(FEBRUARY, **odd), partition=FEBRUARY).changed
