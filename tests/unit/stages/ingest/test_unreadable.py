"""One bad cell: its row is set aside, or the error names it; the other values are exactly what they were."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.data import SchemaPolicy
from airflow_mlops.exceptions import (
    BadRows,
    EmptyPartition,
    ReleaseRefused,
    SchemaMismatch,
    SourceUnreadable,
    ValidationFailed,
)
from airflow_mlops.hooks.source_files import FileSource
from airflow_mlops.hooks.sources import PythonSource, Source
from airflow_mlops.stages.ingest import ingest, quarantine
from airflow_mlops.stages.validate import validate
from airflow_mlops.stages.validate.validate import ValidationPolicy
from airflow_mlops.stores.tables import tables

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

JANUARY = Partition.parse("2013-01", "month")
START = datetime(2013, 1, 1, tzinfo=UTC)
COUNT = 50
COLUMNS = {
    "age": list(range(20, 20 + COUNT)),
    "weight": [0.1 * number for number in range(COUNT)],
    "gift": [bool(number % 2) for number in range(COUNT)],
    "seen": [START + timedelta(hours=number) for number in range(COUNT)],
    "town": [("Graz", "Linz", "")[number % 3] or None for number in range(COUNT)],
}


def make_rows(count: int = COUNT, **columns: Any) -> list[dict[str, Any]]:
    """Build customers of January whose values are all right."""
    names = {"id": list(range(count)), "at": COLUMNS["seen"][:count], **COLUMNS} | columns
    return [{name: values[row] for name, values in names.items()} for row in range(count)]


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows)


class Customers:
    """The tables of a dataset, into which a month was published, and the folder of its sources."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy: dict[str, Any] = {"max_quarantined": 0.5}
        self.options: dict[str, Any] = {"unreadable": self.uri("unreadable")}
        self.publish(self.function(table_of(make_rows())))

    def uri(self, name: str) -> str:
        return f"file://{self.folder}/store/{name}"

    def stage(self, source: Source, **changes: Any) -> DatasetVersion:
        arguments: dict[str, Any] = {
            "uri": self.uri("staging"),
            "published": self.uri("data"),
            "name": "customers",
            "key": ["id"],
            "event_time": "at",
            "run": "run",
        }
        partition = changes.pop("partition", JANUARY)
        return ingest.stage(source, partition, **arguments | self.options | changes)

    def validate(self, staged: DatasetVersion) -> DatasetVersion:
        released = self.uri("released")
        apart = quarantine.unreadable(staged, uri=self.uri("unreadable"), released=released)
        staged = quarantine.correct(staged, released=released, run="run", passing=apart.released)
        self.validated = validate.version(
            staged, ValidationPolicy(required=["id"], identifiers=["id", "at"], **self.policy),
            data=self.uri("data"), waiting=apart.waiting, allowed=partial(quarantine.allowed, staged, released=released),
        )  # fmt: skip
        validate.raise_for(self.validated.report)
        return quarantine.set_aside(
            staged,
            self.validated.reasons,
            quarantine=self.uri("quarantine"),
            run="run",
            waiting=apart.waiting,
        )

    def publish(self, source: Source, **changes: Any) -> DatasetVersion:
        """Ingest, validate and publish, as tasks do."""
        self.valid = self.validate(self.stage(source, **changes))
        return ingest.publish(self.valid, uri=self.uri("data"), run="run")

    def release(self, file: Path | None = None) -> quarantine.Released:
        return quarantine.release(
            self.valid, quarantine=self.uri("quarantine"), released=self.uri("released"), by="ann",
            reason="asked", file=None if file is None else str(file),
        )  # fmt: skip

    def export(self, **changes: Any) -> Path:
        """Export what is set aside, change columns of the first row, and return the file."""
        rows = pa.Table.from_batches(quarantine.rows(self.uri("quarantine"), "2013-01")).to_pylist()
        rows[0] |= changes
        file = self.folder / "edited.jsonl"
        file.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
        return file

    def published(self) -> dict[int, dict[str, Any]]:
        return {row["id"]: row for row in tables.read(self.uri("data")).to_pylist()}

    def aside(self) -> list[dict[str, Any]]:
        if not tables.exists(self.uri("quarantine")):
            return []
        return list(tables.read(self.uri("quarantine"), partition="2013-01").to_pylist())

    def reasons(self) -> list[str]:
        return [row["_reasons"] for row in self.aside()]

    def csv(self, rows: list[dict[str, Any]], name: str = "2013-01.csv", **options: Any) -> Source:
        def text(value: Any) -> str:
            return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

        lines = [",".join(rows[0]), *(",".join(map(text, row.values())) for row in rows)]
        (self.folder / name).write_text("\n".join(lines) + "\n")
        return FileSource(f"{self.folder}/{{partition}}*.csv", **options)

    def lines(self, rows: list[dict[str, Any]], **options: Any) -> Source:
        texts = [json.dumps(row, default=str) for row in rows]
        (self.folder / "2013-01.jsonl").write_text("\n".join(texts) + "\n")
        return FileSource(f"{self.folder}/{{partition}}.jsonl", **options)

    def function(self, *parts: pa.Table) -> Source:
        def read(partition: Any) -> Iterator[pa.Table]:
            yield from parts

        return PythonSource(read)

    def texts(self, rows: list[dict[str, Any]], column: str) -> pa.Table:
        values = [
            str(value).lower() if isinstance(value, bool) else None if value is None else str(value)
            for value in (row[column] for row in rows)
        ]
        rest = table_of([{**row, column: None} for row in rows])
        return rest.set_column(rest.column_names.index(column), column, pa.array(values, pa.string()))

    def parquet(self, table: pa.Table) -> Source:
        parquet.write_table(table, self.folder / "2013-01.parquet")
        return FileSource(f"{self.folder}/{{partition}}.parquet")


@pytest.fixture
def customers(tmp_path: Path) -> Customers:
    return Customers(tmp_path)


def of_csv(customers: Customers, rows: list[dict[str, Any]], column: str) -> tuple[Source, str]:
    return customers.csv(rows), "line 9 of 2013-01.csv"


def of_lines(customers: Customers, rows: list[dict[str, Any]], column: str) -> tuple[Source, str]:
    return customers.lines(rows), "line 8 of 2013-01.jsonl"


def of_parquet(customers: Customers, rows: list[dict[str, Any]], column: str) -> tuple[Source, str]:
    return customers.parquet(customers.texts(rows, column)), "row 8"


def of_function(customers: Customers, rows: list[dict[str, Any]], column: str) -> tuple[Source, str]:
    table = customers.texts(rows, column)
    return customers.function(table.slice(0, 5), table.slice(5)), "row 8"


SOURCES = [of_csv, of_lines, of_parquet, of_function]
BAD = {
    "age": ("thirty", "age cannot be read as int64"),
    "weight": ("heavy", "weight cannot be read as double"),
    "gift": ("perhaps", "gift cannot be read as bool"),
    "seen": ("soon", "seen cannot be read as a time"),
    "at": ("yesterday", "at cannot be read as a time"),
    "id": ("x7", "id cannot be read as int64"),
}


@pytest.mark.parametrize("column", BAD)
@pytest.mark.parametrize("make", SOURCES)
def test_the_row_of_a_cell_that_cannot_be_read_is_set_aside_and_the_others_are_what_they_were(
    customers: Customers, make: Callable[..., tuple[Source, str]], column: str
) -> None:
    before, (text, reason) = customers.published(), BAD[column]
    rows = make_rows()
    rows[7][column] = text
    source, place = make(customers, rows, column)
    version = customers.publish(source)
    del before[7]
    assert customers.published() == before
    assert (version.rows, version.unreadable) == (COUNT - 1, None)
    assert "_unreadable" not in version.columns
    [aside] = customers.aside()
    shown = f'"{text}"' if make is of_lines and column in ("age", "weight", "gift", "id") else text
    assert aside["_reasons"] == f"{reason}: {shown!r} ({place})"
    assert aside[column] is None
    good = make_rows()[7]
    assert {name: aside[name] for name in good if name != column} == {
        name: value for name, value in good.items() if name != column
    }


def test_what_a_good_partition_digests_to_does_not_depend_on_the_option(customers: Customers) -> None:
    source = customers.csv(make_rows())
    plain = customers.stage(source, unreadable=None)
    assert customers.stage(source) == plain.model_copy(update={"changed": False})
    assert not tables.exists(customers.uri("unreadable"))


@pytest.mark.parametrize("make", SOURCES)
def test_without_the_option_the_error_shows_the_first_values_their_places_and_their_number(
    customers: Customers, make: Callable[..., tuple[Source, str]]
) -> None:
    before, rows = customers.published(), make_rows()
    for place in (7, 9, 11, 30):
        rows[place]["age"] = f"age {place}"
    source, place = make(customers, rows, "age")
    with pytest.raises(SchemaMismatch) as raised:
        customers.stage(source, unreadable=None)
    said = str(raised.value)
    assert "'age' cannot be read as int64 in 4 of 50 values: " in said
    shown = '"age 7"' if make is of_lines else "age 7"
    assert f"{shown!r} ({place}), " in said
    assert "on_unreadable: quarantine" in said
    assert said.count("(line ") + said.count("(row ") == 3
    assert customers.published() == before


def test_text_that_reads_as_numbers_is_no_number_without_the_option(customers: Customers) -> None:
    source = customers.parquet(customers.texts(make_rows(), "age"))
    with pytest.raises(SchemaMismatch, match=r"'age' is string, was int64 \(no policy allows that\)"):
        customers.stage(source, unreadable=None)
    assert not customers.publish(source).changed


@pytest.mark.parametrize("make", SOURCES)
def test_a_column_of_which_more_than_half_cannot_be_read_has_another_format(
    customers: Customers, make: Callable[..., tuple[Source, str]]
) -> None:
    rows = make_rows()
    for row in rows[:26]:
        row["age"] = "A12"
    with pytest.raises(SchemaMismatch, match="in 26 of 50 values.*the format has changed"):
        customers.stage(make(customers, rows, "age")[0])
    rows[0]["age"] = 20
    assert customers.publish(make(customers, rows, "age")[0]).rows == 25


def test_missing_values_do_not_count_among_those_of_a_column(customers: Customers) -> None:
    rows = make_rows(age=["NA"] * 40 + ["x"] * 6 + [1] * 4)
    with pytest.raises(SchemaMismatch, match="in 6 of 10 values.*the format has changed"):
        customers.stage(customers.csv(rows))


def test_what_counts_as_missing_is_missing_beside_a_cell_that_cannot_be_read(customers: Customers) -> None:
    rows = make_rows()
    rows[3]["age"], rows[4]["age"], rows[5]["age"] = "thirty", "NA", None
    customers.publish(customers.csv(rows))
    assert len(customers.aside()) == 1
    assert customers.published()[4]["age"] is customers.published()[5]["age"] is None


def test_lines_are_those_of_the_file_also_behind_values_of_several_lines_and_empty_lines(
    customers: Customers,
) -> None:
    rows = make_rows()
    rows[1]["town"], rows[8]["age"] = '"Graz\n\nLinz"', "thirty"
    source = customers.csv(rows)
    file = customers.folder / "2013-01.csv"
    file.write_text(file.read_text().replace("\n5,", "\n\n5,"))
    customers.publish(source)
    assert customers.reasons() == ["age cannot be read as int64: 'thirty' (line 13 of 2013-01.csv)"]
    assert file.read_text().split("\n")[12].startswith("8,")


def test_each_of_several_files_names_its_own_lines(customers: Customers) -> None:
    rows = make_rows()
    rows[7]["age"], rows[40]["age"] = "thirty", "forty"
    customers.csv(rows[:20], "2013-01-a.csv")
    source = customers.csv(rows[20:], "2013-01-b.csv")
    customers.publish(source)
    assert [reason.split("(")[1] for reason in customers.reasons()] == [
        "line 9 of 2013-01-a.csv)",
        "line 22 of 2013-01-b.csv)",
    ]


def test_a_row_with_several_such_cells_is_one_row_with_each_of_them(customers: Customers) -> None:
    rows = make_rows()
    rows[7]["age"], rows[7]["weight"] = "thirty", "heavy"
    customers.publish(customers.csv(rows))
    [reason] = customers.reasons()
    assert "age cannot be read as int64: 'thirty'" in reason
    assert "weight cannot be read as double: 'heavy'" in reason
    [line] = quarantine.summary(customers.uri("quarantine"), customers.uri("released"))
    assert line.reason == "age cannot be read; weight cannot be read"


def test_declared_types_hold_for_the_first_partition_too(tmp_path: Path) -> None:
    customers = Customers(tmp_path / "other")
    fresh = Customers.__new__(Customers)
    fresh.folder, fresh.policy = tmp_path, customers.policy
    fresh.options = {"unreadable": fresh.uri("unreadable")}
    rows = make_rows()
    rows[7]["age"], rows[8]["weight"] = "thirty", "heavy"
    source = fresh.csv(rows, types={"age": "int64"})
    version = fresh.publish(source, types={"weight": "double"})
    assert (version.rows, version.columns["age"], version.columns["weight"]) == (48, "int64", "double")
    assert fresh.reasons() == [
        "age cannot be read as int64: 'thirty' (line 9 of 2013-01.csv)",
        "weight cannot be read as double: 'heavy' (line 10 of 2013-01.csv)",
    ]


def test_types_that_a_source_names_are_held_to_wherever_it_is_read(customers: Customers) -> None:
    rows = make_rows()
    rows[7]["age"] = "thirty"
    for source in (
        customers.csv(rows, types={"age": "int64"}),
        customers.lines(rows, types={"age": "int64"}),
    ):
        with pytest.raises(
            SourceUnreadable, match=r"'age' cannot be read as int64 in 1 of 50 values: .*line"
        ):
            list(source.batches(JANUARY))
    with pytest.raises(SourceUnreadable, match="'weight' holds values that are no int64, as types says"):
        list(customers.csv(rows, types={"weight": "int64"}).batches(JANUARY))


def test_fractions_among_whole_numbers_are_numbers_so_they_are_a_matter_of_the_schema(
    customers: Customers,
) -> None:
    rows = make_rows()
    rows[7]["age"], rows[8]["age"] = 1.5, "thirty"
    with pytest.raises(SchemaMismatch, match=r"'age' is double, was int64.*`schema: evolve` would make it"):
        customers.stage(customers.csv(rows))


def test_large_numbers_of_json_keep_every_digit_beside_a_cell_that_cannot_be_read(
    customers: Customers,
) -> None:
    large = [2**64 - 1 - number for number in range(COUNT)]
    rows = make_rows(serial=large)
    rows[7]["age"] = "thirty"
    customers.publish(customers.lines(rows), policy=SchemaPolicy.ADD)
    del large[7]
    assert [int(row["serial"]) for row in customers.published().values()] == large


@pytest.mark.parametrize("text", ["12", "12.0", "-3", "1e2"])
def test_a_text_of_json_is_the_number_that_json_would_write_so(customers: Customers, text: str) -> None:
    rows = make_rows()
    for row in rows:
        row["age"] = text
    customers.publish(customers.lines(rows), unreadable=None)
    assert {row["age"] for row in customers.published().values()} == {float(text)}
    for row in rows:
        row["age"] = text if row["id"] else "007"
    customers.publish(customers.lines(rows))
    assert customers.reasons() == ["age cannot be read as int64: '\"007\"' (line 1 of 2013-01.jsonl)"]
    assert len(customers.published()) == COUNT - 1


@pytest.mark.parametrize("make", SOURCES)
def test_times_without_an_offset_are_read_in_the_time_zone_beside_one_that_is_none(
    tmp_path: Path, make: Callable[..., tuple[Source, str]]
) -> None:
    january = Partition.parse("2013-01", "month Europe/Berlin")
    fresh = Customers.__new__(Customers)
    fresh.folder, fresh.policy, fresh.options = tmp_path, {}, {}
    hours = [datetime(2013, 1, 2) + timedelta(hours=number) for number in range(COUNT)]  # noqa: DTZ001
    rows = make_rows(seen=[f"{hour:%Y-%m-%dT%H:%M:%S}" for hour in hours])
    rows[7]["seen"] = "soon"
    source, _ = make(fresh, rows, "seen")
    staged = fresh.stage(
        source, partition=january, unreadable=fresh.uri("unreadable"), types={"seen": "timestamp[us, tz=UTC]"}
    )
    seen = tables.read(staged.uri, version=staged.version)["seen"].to_pylist()
    assert seen[:2] == [datetime(2013, 1, 1, 23, tzinfo=UTC), datetime(2013, 1, 2, 0, tzinfo=UTC)]
    assert (staged.rows, len(set(seen))) == (COUNT - 1, COUNT - 1)


class Prepare:
    """Feature preparation that needs numbers."""

    version = "prepare:rows@1"

    def __call__(self, rows: pa.Table, partition: Partition, /) -> pa.Table:
        assert pa.types.is_int64(rows["age"].type)
        return rows


def test_declared_types_are_read_before_a_transform(customers: Customers) -> None:
    rows = make_rows()
    rows[7]["age"] = "thirty"
    version = customers.publish(customers.csv(rows, types={"age": "int64"}), transform=Prepare())
    assert version.rows == 49
    assert customers.reasons() == ["age cannot be read as int64: 'thirty' (line 9 of 2013-01.csv)"]


def test_what_a_transform_returns_is_held_to_the_published_types(customers: Customers) -> None:
    rows = make_rows()
    rows[7]["age"] = "thirty"

    class Same:
        version = "same:rows@1"

        def __call__(self, rows: pa.Table, partition: Partition, /) -> pa.Table:
            assert pa.types.is_string(rows["age"].type)
            return rows

    assert customers.publish(customers.csv(rows), transform=Same()).rows == 49
    assert customers.reasons() == ["age cannot be read as int64: 'thirty' (row 8)"]
    assert customers.published()[8]["age"] == 28


class Leave:
    """Feature preparation that leaves rows as they are."""

    version = "leave:rows@1"

    def __call__(self, rows: pa.Table, partition: Partition, /) -> pa.Table:
        return rows


NOTATIONS: dict[str, dict[str, Any]] = {
    "thousands": {"decimal": ",", "thousands": ".", "delimiter": ";"},
    "decimal": {"decimal": ",", "delimiter": ";"},
    "nulls": {"nulls": ("", "1.000")},
}


@pytest.mark.parametrize("unreadable", [True, False])
@pytest.mark.parametrize("options", NOTATIONS.values(), ids=NOTATIONS)
def test_text_in_the_notation_of_a_file_is_never_read_in_another_behind_a_transform(
    customers: Customers, options: dict[str, Any], unreadable: bool
) -> None:
    before, rows = customers.published(), make_rows()
    for row in rows:
        row["weight"] = "1.000"
    rows[7]["weight"] = "heavy"
    source = customers.csv(rows, **options)
    file = customers.folder / "2013-01.csv"
    file.write_text(file.read_text().replace(",", options.get("delimiter", ",")))
    changes = {} if unreadable else {"unreadable": None}
    with pytest.raises(
        SchemaMismatch,
        match=r"'weight' is string after the transform, and must be double.*types: \{weight: double\}",
    ):
        customers.stage(source, transform=Leave(), **changes)
    assert customers.published() == before


def test_declared_types_are_read_in_the_notation_of_a_file_before_a_transform(customers: Customers) -> None:
    rows = make_rows()
    for number, row in enumerate(rows):
        row["weight"], row["age"] = f"{number + 1} 234", "99" if number == 8 else "1 000"
    rows[7]["weight"], rows[9]["age"] = "heavy", "thirty"
    types = {"weight": "double", "age": "int64"}
    source = customers.csv(rows, thousands=" ", nulls=("", "99"), types=types)
    customers.publish(source, transform=Leave())
    published = customers.published()
    assert (published[6]["weight"], published[6]["age"], published[8]["age"]) == (7234.0, 1000, None)
    assert sorted(customers.reasons()) == [
        "age cannot be read as int64: 'thirty' (line 11 of 2013-01.csv)",
        "weight cannot be read as double: 'heavy' (line 9 of 2013-01.csv)",
    ]


def test_percentages_and_times_of_a_file_are_read_before_a_transform_whatever_stands_beside_them(
    customers: Customers,
) -> None:
    rows = make_rows()
    for number, row in enumerate(rows):
        row["weight"], row["seen"] = f"{number} %", f"2013-{number % 28 + 1:02}-01"
    rows[7]["weight"], rows[8]["seen"] = "heavy", "soon"
    customers.publish(customers.csv(rows, percent=("weight",), times={"seen": "%Y-%d-%m"}), transform=Leave())
    published = customers.published()
    assert sorted(set(range(COUNT)) - published.keys()) == [7, 8]
    assert (published[4]["weight"], published[4]["seen"]) == (0.04, datetime(2013, 1, 5, tzinfo=UTC))


def test_a_decimal_of_a_file_says_nothing_about_times_that_a_transform_writes(customers: Customers) -> None:
    class Written:
        version = "written:rows@1"

        def __call__(self, rows: pa.Table, partition: Partition, /) -> pa.Table:
            seen = pa.array([f"{time:%Y-%m-%d %H:%M}" for time in rows["seen"].to_pylist()])
            return rows.set_column(rows.column_names.index("seen"), "seen", seen)

    source = customers.csv(make_rows(), thousands=" ")
    assert customers.publish(source, transform=Written()).rows == COUNT
    assert customers.published()[7]["seen"] == COLUMNS["seen"][7]


def test_notations_of_a_file_are_kept_beside_a_cell_that_is_none(customers: Customers) -> None:
    rows = make_rows()
    for number, row in enumerate(rows):
        row["weight"] = "heavy" if number == 7 else f"{number},5 %"
        row["seen"] = "soon" if number == 8 else f"{number % 28 + 1:02}.01.2013"
    options = {"delimiter": ";", "decimal": ",", "percent": ("weight",), "times": {"seen": "%d.%m.%Y"}}
    source = customers.csv(rows, **options)
    file = customers.folder / "2013-01.csv"
    texts = [";".join("" if value is None else str(value) for value in row.values()) for row in rows]
    file.write_text("\n".join([";".join(rows[0]), *texts]) + "\n")
    customers.publish(source)
    published = customers.published()
    assert sorted(set(range(COUNT)) - published.keys()) == [7, 8]
    assert (published[12]["weight"], published[12]["seen"]) == (0.125, datetime(2013, 1, 13, tzinfo=UTC))
    assert sorted(customers.reasons()) == [
        "seen cannot be read as a time: 'soon' (line 10 of 2013-01.csv)",
        "weight cannot be read as double: 'heavy' (line 9 of 2013-01.csv)",
    ]


def test_more_rows_than_may_be_set_aside_stop_the_partition_and_none_is_moved(customers: Customers) -> None:
    customers.policy = {"max_quarantined": 0.05}
    before, rows = customers.published(), make_rows()
    for row in rows[:4]:
        row["age"] = "thirty"
    with pytest.raises(ValidationFailed, match="4 of 50 rows would be set aside, above 5 %"):
        customers.publish(customers.csv(rows))
    assert (customers.published(), customers.aside()) == (before, [])


def test_the_report_counts_such_rows_and_shows_them(customers: Customers) -> None:
    rows = make_rows()
    rows[7]["age"], rows[7]["at"] = "<b>thirty</b>", COLUMNS["seen"][7]
    customers.publish(customers.csv(rows))
    report = customers.validated.report
    assert (report.verdict, report.rows, report.quarantined) == (Verdict.PASS, 50, 1)
    assert report.reason.startswith("1 of 50 rows set aside: age cannot be read as int64")
    assert report.sample is not None
    assert report.sample.columns == ("id", "at", "age")
    assert report.sample.rows[0][2] == "<b>thirty</b>"
    assert "line 9 of 2013-01.csv" in report.sample.reasons[0]
    assert "&lt;b&gt;thirty&lt;/b&gt;" in customers.validated.html
    assert "line 9 of 2013-01.csv" in customers.validated.html


def test_personal_text_is_in_no_report(customers: Customers) -> None:
    customers.policy = {"pii": ["age"]}
    rows = make_rows()
    rows[7]["age"] = "thirty"
    customers.publish(customers.csv(rows))
    assert "thirty" not in customers.validated.report.model_dump_json()
    assert "thirty" not in customers.validated.html


def test_rows_that_break_an_expectation_meet_them_in_quarantine(customers: Customers) -> None:
    from airflow_mlops.stages.validate import suites

    between = {"column": "age", "min_value": 25, "severity": "quarantine"}
    not_null = {"column": "age"}
    customers.policy["expectations"] = suites.expand(
        [
            {"expect_column_values_to_be_between": between},
            # Blocks where a value is missing; one that cannot be read is not.
            {"expect_column_values_to_not_be_null": not_null},
        ]
    )
    rows = make_rows()
    rows[7]["age"] = "thirty"
    version = customers.publish(customers.csv(rows))
    assert version.rows == 44
    assert sorted(reason.split(":")[0] for reason in customers.reasons()) == [
        "age cannot be read as int64",
        *["age is below 25"] * 5,
    ]


def test_a_corrected_row_goes_on_until_its_source_changes(customers: Customers) -> None:
    rows = make_rows()
    rows[7]["age"] = "thirty"
    source = customers.csv(rows)
    customers.publish(source)
    assert customers.release(customers.export(age=30)).corrected == 1
    customers.publish(source)
    assert (customers.published()[7]["age"], customers.aside()) == (30, [])
    # Its place in the file is no part of it, but its text is.
    customers.publish(customers.csv(rows[1:] + rows[:1]))
    assert customers.published()[7]["age"] == 30
    rows[7]["age"] = "forty"
    customers.publish(customers.csv(rows))
    assert 7 not in customers.published()
    assert len(customers.reasons()) == 1
    rows[7]["age"] = 41
    customers.publish(customers.csv(rows))
    assert customers.published()[7]["age"] == 41


@pytest.mark.parametrize("policy", [SchemaPolicy.ADD, SchemaPolicy.EVOLVE])
@pytest.mark.parametrize("bad", [{"age": "thirty"}, {"age": -1}])
@pytest.mark.parametrize("as_it_is", [True, False])
def test_a_release_holds_when_the_partition_gains_a_column(
    customers: Customers, policy: SchemaPolicy, bad: dict[str, Any], as_it_is: bool
) -> None:
    from airflow_mlops.stages.validate import suites

    between = {"column": "age", "min_value": 0, "severity": "quarantine"}
    customers.policy["expectations"] = suites.expand([{"expect_column_values_to_be_between": between}])
    rows = make_rows()
    rows[7] |= bad
    rows[9]["age"] = -5
    customers.publish(customers.csv(rows))
    assert len(customers.aside()) == 2
    expected = {7: None if "thirty" in bad.values() else -1, 9: -5}
    if not as_it_is:
        expected[customers.aside()[0]["id"]] = 30
    customers.release(None if as_it_is else customers.export(age=30))
    for row in rows:
        row["city"] = f"city {row['id']}"
    customers.publish(customers.csv(rows), policy=policy)
    assert customers.aside() == []
    released = customers.published()
    assert {key: released[key]["age"] for key in expected} == expected
    assert {row["id"]: row["city"] for row in released.values()} == {row["id"]: row["city"] for row in rows}
    # What is not of the new column is still what was released: another value at the source is judged anew.
    rows[9]["age"] = -6
    customers.publish(customers.csv(rows), policy=policy)
    assert [row["id"] for row in customers.aside()] == [9]


def test_a_row_released_as_it_is_goes_on_without_the_value(customers: Customers) -> None:
    rows = make_rows()
    rows[7]["age"] = "thirty"
    source = customers.csv(rows)
    customers.publish(source)
    assert customers.release() == quarantine.Released(1, 0, 0)
    assert customers.release() == quarantine.Released(0, 0, 1)
    customers.publish(source)
    assert customers.published()[7] == {**make_rows()[7], "age": None}
    assert customers.aside() == []


@pytest.mark.parametrize(
    ("column", "said"), [("id", "has no 'id', which is part of the key"), ("at", "'at' is empty")]
)
def test_a_row_without_key_or_time_is_not_released(customers: Customers, column: str, said: str) -> None:
    rows = make_rows()
    rows[7][column] = "x"
    customers.publish(customers.csv(rows))
    with pytest.raises(ReleaseRefused, match=said):
        customers.release()


def test_an_event_time_can_be_corrected(customers: Customers) -> None:
    rows = make_rows()
    rows[7]["at"] = "x"
    source = customers.csv(rows)
    customers.publish(source)
    customers.release(customers.export(at="2013-01-09T00:00:00+00:00"))
    customers.publish(source)
    assert customers.published()[7]["at"] == datetime(2013, 1, 9, tzinfo=UTC)


def test_keys_are_unique_among_all_rows(customers: Customers) -> None:
    rows = make_rows()
    rows[7] |= {"age": "thirty", "id": 8}
    with pytest.raises(BadRows, match=": 1 key "):
        customers.stage(customers.csv(rows))


def test_a_row_without_a_readable_time_still_has_its_key(customers: Customers) -> None:
    rows = make_rows()
    rows[7] |= {"at": "yesterday", "id": 8}
    with pytest.raises(BadRows, match=": 1 key "):
        customers.stage(customers.csv(rows))
    rows[8]["at"] = "tomorrow"
    with pytest.raises(BadRows, match=": 1 key "):
        customers.stage(customers.csv(rows))


def test_a_row_whose_time_was_corrected_does_not_join_another_of_its_key(customers: Customers) -> None:
    rows = make_rows()
    rows[7]["at"] = "yesterday"
    customers.publish(customers.csv(rows))
    customers.release(customers.export(at="2013-01-09T00:00:00+00:00"))
    with pytest.raises(BadRows, match=": 1 key "):
        customers.publish(customers.csv([*rows, make_rows()[7]]))
    customers.publish(customers.csv(rows))
    assert customers.published()[7]["at"] == datetime(2013, 1, 9, tzinfo=UTC)
    assert tables.read(customers.uri("data")).num_rows == COUNT


def test_a_row_without_a_readable_key_still_has_its_time(customers: Customers) -> None:
    rows = make_rows()
    rows[7] |= {"id": "x7", "at": "2013-02-01 00:00:00+00:00"}
    with pytest.raises(BadRows, match="outside of"):
        customers.stage(customers.csv(rows))


def test_a_partition_whose_rows_all_have_such_a_cell_is_empty(customers: Customers) -> None:
    rows = make_rows()
    for number, row in enumerate(rows):
        row["age" if number % 2 else "weight"] = "x"
    with pytest.raises(EmptyPartition, match="no rows but those with a cell that cannot be read"):
        customers.stage(customers.csv(rows))


def test_rows_apart_are_not_published_past_validation(customers: Customers) -> None:
    rows = make_rows()
    rows[7]["age"] = "thirty"
    staged = customers.stage(customers.csv(rows))
    with pytest.raises(BadRows, match="hand what ValidateOperator returns"):
        ingest.publish(staged, uri=customers.uri("data"), run="run")


def test_a_run_replaces_what_the_run_before_has_set_aside(customers: Customers) -> None:
    rows = make_rows()
    rows[7]["age"] = "thirty"
    customers.publish(customers.csv(rows))
    customers.publish(customers.csv(rows))
    assert len(customers.aside()) == 1
    customers.publish(customers.csv(make_rows()))
    assert (customers.aside(), len(customers.published())) == ([], COUNT)


def test_a_column_of_the_data_may_not_have_our_name(customers: Customers) -> None:
    rows = [{**row, "_unreadable": "x"} for row in make_rows()]
    rows[7]["age"] = "thirty"
    with pytest.raises(SourceUnreadable, match="'_unreadable', which our tables add"):
        customers.stage(customers.csv(rows))
    with pytest.raises(SchemaMismatch, match="'_unreadable', which our tables add"):
        customers.stage(customers.function(table_of(rows[:3])))


def test_many_cells_in_many_batches_stand_beside_their_own_rows(customers: Customers) -> None:
    count = 150_000
    hours = [START + timedelta(seconds=number) for number in range(count)]
    table = pa.table(
        {
            "id": range(count),
            "at": pa.array(hours, pa.timestamp("us", "UTC")),
            "age": [f"x{number}" if number % 10 == 3 else str(number) for number in range(count)],
        }
    )
    bare = {"published": customers.uri("none"), "types": {"age": "double"}}
    staged = customers.stage(
        customers.function(*(table.slice(start, 7_001) for start in range(0, count, 7_001))), **bare
    )
    rows = tables.read(staged.uri, version=staged.version)
    assert rows["age"].to_pylist() == [float(number) for number in rows["id"].to_pylist()]
    apart = tables.read(customers.uri("unreadable"), version=staged.unreadable)
    assert (staged.rows, apart.num_rows) == (135_000, 15_000)
    assert [json.loads(text)["age"] for text in apart["_unreadable"].to_pylist()] == [
        f"x{number}" for number in apart["id"].to_pylist()
    ]
    assert apart["_reasons"][-1].as_py().endswith("(row 149,994)")
