"""Text that looks like numbers or times is told of before it is published as text, whatever source it comes from."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import create_engine

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.data import Features
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.hooks.source_files import FileSource
from airflow_mlops.hooks.sources import PythonSource, Source
from airflow_mlops.learning.models import pipeline
from airflow_mlops.stages.ingest import ingest
from airflow_mlops.stores.sources import sql
from airflow_mlops.stores.tables import tables

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

JANUARY = Partition.parse("2026-01", "month")
ROWS = [{"id": number, "at": "2026-01-02T00:00:00Z", "x": f"{number},5"} for number in range(1, 5)]


def csvs(folder: Path, **options: Any) -> Source:
    texts = [
        "".join(f'{row["id"]},{row["at"]},"{row["x"]}"\n' for row in rows) for rows in (ROWS[:2], ROWS[2:])
    ]
    for name, text in zip("ab", texts, strict=True):
        (folder / f"2026-01-{name}.csv").write_text(f"id,at,x\n\n{text}")
    return FileSource(f"{folder}/{{partition}}-*.csv", **options)


def json_lines(folder: Path) -> Source:
    (folder / "2026-01.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    return FileSource(f"{folder}/{{partition}}.jsonl")


def parquets(folder: Path) -> Source:
    parquet.write_table(pa.Table.from_pylist(ROWS), folder / "2026-01.parquet")
    return FileSource(f"{folder}/{{partition}}.parquet")


def frames(folder: Path) -> Source:
    return PythonSource(lambda partition: pd.DataFrame(ROWS))


def database(folder: Path) -> Source:
    with sqlite3.connect(folder / "parcels.db") as connection:
        connection.execute("create table parcels (id integer, at text, x text)")
        connection.executemany("insert into parcels values (:id, :at, :x)", ROWS)
    return Query(f"sqlite:///{folder}/parcels.db")


class Query(PythonSource):
    """Read a database without a connection of Airflow."""

    def batches(self, partition: Any, types: Any = None) -> Any:
        engine = create_engine(str(self.function))
        return sql.batches(engine, "select * from parcels", partition, types, "query")


SOURCES = [csvs, json_lines, parquets, frames]


def stage(source: Source, folder: Path, **options: Any) -> dict[str, str]:
    return dict(stage_version(source, folder, **options).columns)


def stage_version(source: Source, folder: Path, **options: Any) -> DatasetVersion:
    return ingest.stage(
        source, JANUARY, uri=f"file://{folder}/staging", published=f"file://{folder}/data", name="parcels", key=["id"],
        event_time="at", run="test", **options,
    )  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_a_warning_shows_values_and_what_to_do(
    source: Callable[[Path], Source], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert stage(source(tmp_path), tmp_path)["x"] == "string"
    (warning,) = [record.getMessage() for record in caplog.records if "notation" in record.getMessage()]
    assert "'x' is text, and looks like numbers in another notation: '1,5' (" in warning
    assert warning.endswith(
        "; write decimal: ',', or types: {x: string} if it is text" if source is csvs else " transform"
    )
    if source is csvs:
        assert f"'1,5' (line 3 of {tmp_path}/2026-01-a.csv), '2,5' (line 4 of" in warning
        assert f"'3,5' (line 3 of {tmp_path}/2026-01-b.csv)" in warning


@pytest.mark.parametrize("source", SOURCES)
def test_a_feature_that_must_be_a_number_stops_the_partition(
    source: Callable[[Path], Source], tmp_path: Path
) -> None:
    with pytest.raises(
        SchemaMismatch,
        match=r"""'x' cannot be read as double in 4 of 4 values: '"?1,5"?' \(.*of so many the notation is another: write decimal: ','""",
    ):
        stage(source(tmp_path), tmp_path, types=Features(numeric=("x",)).types)
    assert not (tmp_path / "staging").exists()


def test_a_column_that_is_read_as_a_number_needs_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    types = Features(numeric=("x",)).types
    assert stage(csvs(tmp_path, decimal=","), tmp_path, types=types)["x"] == "double"
    assert stage(csvs(tmp_path, types={"x": "string"}), tmp_path)["x"] == "string"
    assert not [record for record in caplog.records if "notation" in record.getMessage()]


def test_a_transform_may_make_numbers_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Prepare:
        version = "m:f@1"

        def __call__(self, rows: pa.Table, partition: Partition) -> pa.Table:
            return rows.set_column(rows.column_names.index("x"), "x", pa.array([1.5] * rows.num_rows))

    types = Features(numeric=("x",)).types
    assert stage(csvs(tmp_path), tmp_path, types=types, transform=Prepare())["x"] == "double"
    assert not [record for record in caplog.records if "notation" in record.getMessage()]


@pytest.mark.parametrize("decimal", [",", "."])
def test_values_that_are_no_numbers_are_named_where_all_others_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, decimal: str
) -> None:
    rows = "".join(f'{number},2026-01-02,"{number}{decimal}5"\n' for number in range(286))
    (tmp_path / "2026-01.csv").write_text(f"id,at,x\n{rows}286,2026-01-02,about 4\n287,2026-01-02,-\n")
    source = FileSource(f"{tmp_path}/{{partition}}.csv", decimal=decimal)
    said = (
        f"'x' is text, for 2 of 288 values are no numbers: 'about 4' (line 288 of {tmp_path}/2026-01.csv), '-' (line 289 of "
        f"{tmp_path}/2026-01.csv); correct them, or list under nulls what stands for a missing value, or set their rows "
        "aside (on_unreadable: quarantine and types: {x: double}), or write types: {x: string} if it is text"
    )
    with pytest.raises(SchemaMismatch) as raised:
        stage(source, tmp_path, types=Features(numeric=("x",)).types)
    assert str(raised.value).endswith(
        ": 'x' cannot be read as double in 2 of 288 values: 'about 4' (line 288 of 2026-01.csv), '-' (line 289 of "
        "2026-01.csv); correct them, list under nulls what stands for a missing value in CSV, set such rows aside "
        "(on_unreadable: quarantine), or list the column under features.categorical"
    )
    stage(source, tmp_path)
    assert caplog.text.rstrip().endswith(said)
    apart = {"types": Features(numeric=("x",)).types, "unreadable": f"file://{tmp_path}/apart"}
    assert stage(source, tmp_path, **apart)["x"] == "double"


@pytest.mark.parametrize("read", [json_lines, parquets, frames])
def test_values_of_any_source_that_are_no_numbers_are_named(
    read: Callable[[Path], Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": number, "at": "2026-01-02T00:00:00Z", "x": f"{number}"} for number in range(99)]
    monkeypatch.setattr(f"{__name__}.ROWS", [*rows, {"id": 99, "at": "2026-01-02T00:00:00Z", "x": "none"}])
    with pytest.raises(
        SchemaMismatch,
        match=r"""'x' cannot be read as double in 1 of 100 values: '"?none"?' \((row|line) 100.*\); correct them""",
    ):
        stage(read(tmp_path), tmp_path, types=Features(numeric=("x",)).types)


def test_values_of_personal_data_are_not_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stage(csvs(tmp_path), tmp_path, pii=["x"])
    assert "looks like numbers in another notation: line 3 of" in caplog.text
    assert "1,5" not in caplog.text


def test_a_model_that_needs_numbers_names_the_notation() -> None:
    rows = pa.table({"x": ["1,5", "2,5", "3,5"], "at": ["31.12.2025"] * 3})
    with pytest.raises(
        SchemaMismatch, match=r"'x' is string, which is no double: .*looks like numbers .*decimal: ','"
    ):
        pipeline.frame(rows, Features(numeric=("x",)))
    with pytest.raises(
        SchemaMismatch, match=r"'at' is string, which is no time; 'at' is text.*times: {at: '%d.%m.%Y'}"
    ):
        pipeline.frame(rows, Features(dates=("at",)))


@pytest.mark.parametrize("source", [*SOURCES, "sql"])
@pytest.mark.parametrize("bad", ["€ 5", "\u22125", "5,5", "0x10", "five"])
@pytest.mark.parametrize("count", [1, 4, 9])
def test_a_number_of_the_spec_is_never_published_as_text(
    source: Any, bad: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [bad] * count + [f"{number}.5" for number in range(10 - count)]
    rows = [{"id": place, "at": "2026-01-02T00:00:00Z", "x": text} for place, text in enumerate(values)]
    monkeypatch.setattr(f"{__name__}.ROWS", rows)
    types = Features(numeric=("x",)).types
    read = database(tmp_path) if source == "sql" else source(tmp_path)
    with pytest.raises(
        SchemaMismatch, match=f"'x' cannot be read as double in {count} of 10 values: '\"?{bad}"
    ):
        stage(read, tmp_path, types=types)
    assert not (tmp_path / "staging").exists()
    if count < 5:
        apart = f"file://{tmp_path}/apart"
        assert stage(read, tmp_path, types=types, unreadable=apart)["x"] == "double"
        assert tables.read(f"file://{tmp_path}/staging")["x"].null_count == 0
        assert tables.read(apart).num_rows == count


@pytest.mark.parametrize("source", [*SOURCES, "sql"])
def test_a_date_of_the_spec_is_never_published_as_text(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [*(f"2026-01-{day:02}" for day in range(1, 10)), "31.12.2025"]
    rows = [{"id": place, "at": "2026-01-02T00:00:00Z", "x": day} for place, day in enumerate(days)]
    monkeypatch.setattr(f"{__name__}.ROWS", rows)
    types = Features(dates=("x",)).types
    read = database(tmp_path) if source == "sql" else source(tmp_path)
    with pytest.raises(
        SchemaMismatch, match=r"'x' cannot be read as a time in 1 of 10 values: '31.12.2025' \("
    ):
        stage(read, tmp_path, types=types)
    apart = f"file://{tmp_path}/apart"
    assert stage(read, tmp_path, types=types, unreadable=apart)["x"] == "timestamp[us, tz=UTC]"
    assert tables.read(f"file://{tmp_path}/staging").num_rows == 9


@pytest.mark.parametrize("source", [*SOURCES, "sql"])
def test_text_that_says_numbers_is_numbers_where_the_spec_says_so(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": number, "at": "2026-01-02T00:00:00Z", "x": f"{number}.25"} for number in range(4)]
    monkeypatch.setattr(f"{__name__}.ROWS", rows)
    read = database(tmp_path) if source == "sql" else source(tmp_path)
    for _ in range(2):
        # Twice, since what is published later is no reason to refuse what was read before.
        version = stage_version(read, tmp_path, types=Features(numeric=("x",)).types)
        assert dict(version.columns)["x"] == "double"
        assert tables.read(f"file://{tmp_path}/staging")["x"].to_pylist() == [0.25, 1.25, 2.25, 3.25]
        ingest.publish(version, uri=f"file://{tmp_path}/data", run="test")


def test_a_number_that_is_published_as_text_stays_text_and_its_cells_are_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": number, "at": "2026-01-02T00:00:00Z", "x": f"{number}.25"} for number in range(4)]
    monkeypatch.setattr(f"{__name__}.ROWS", rows)
    ingest.publish(stage_version(frames(tmp_path), tmp_path), uri=f"file://{tmp_path}/data", run="test")
    types = Features(numeric=("x",)).types
    assert stage(frames(tmp_path), tmp_path, types=types)["x"] == "string"
    monkeypatch.setattr(f"{__name__}.ROWS", [*rows[:3], rows[3] | {"x": "few"}])
    with pytest.raises(
        SchemaMismatch, match=r"'x' cannot be read as double in 1 of 4 values: 'few' \(row 4\)"
    ):
        stage(frames(tmp_path), tmp_path, types=types)
