from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv, json, parquet

from airflow_mlops.stores.tables import exports

ROWS = pa.table(
    {
        "id": pa.array([1, 2, None, 4], pa.int64()),
        "text": ["=1+1", 'a "quoted",\nline', None, ""],
        "at": pa.array([datetime(2013, 1, 5, 15, 30, tzinfo=UTC)] * 4, pa.timestamp("us", "UTC")),
        "share": [0.1, None, -1e300, 5e-324],
    }
)


def read(path: Path) -> pa.Table:
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return parquet.read_table(path)
    with pa.input_stream(str(path)) as file:
        if name.endswith(".jsonl"):
            return json.read_json(file).cast(ROWS.schema)
        options = csv.ConvertOptions(
            strings_can_be_null=True, quoted_strings_can_be_null=False, column_types=ROWS.schema
        )
        return csv.read_csv(
            file, parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=options
        )


def export(path: Path, rows: pa.Table = ROWS, overwrite: bool = False) -> int:
    return exports.write(rows.to_reader(max_chunksize=1), str(path), overwrite)


@pytest.mark.parametrize("ending", exports.FORMATS)
def test_rows_are_read_back_as_they_were(tmp_path: Path, ending: str) -> None:
    assert export(tmp_path / f"rows{ending}") == 4
    assert read(tmp_path / f"rows{ending}").to_pylist() == ROWS.to_pylist()
    assert [each.name for each in tmp_path.iterdir()] == [f"rows{ending}"]


@pytest.mark.parametrize("ending", exports.FORMATS)
def test_no_rows_are_a_whole_file_too(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows{ending}"
    assert export(path, ROWS.slice(0, 0)) == 0
    if "jsonl" not in ending:  # it keeps names of columns with each row only
        assert read(path).schema.names == ROWS.schema.names
    assert path.exists()


def test_batches_need_no_reader_unless_there_are_none(tmp_path: Path) -> None:
    assert exports.write(ROWS.to_batches(), str(tmp_path / "rows.csv")) == 4
    with pytest.raises(ValueError, match="nothing to write"):
        exports.write([], str(tmp_path / "none.csv"))
    assert not (tmp_path / "none.csv").exists()


def test_a_file_that_is_there_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match=r"rows\.csv is there already"):
        export(path)
    assert path.read_text() == "mine"
    assert export(path, overwrite=True) == 4
    assert read(path).num_rows == 4


@pytest.mark.parametrize("ending", exports.FORMATS)
def test_a_read_that_fails_leaves_what_was_there(tmp_path: Path, ending: str) -> None:
    def torn() -> Iterator[pa.RecordBatch]:
        yield from ROWS.to_batches(max_chunksize=1)
        raise OSError("the table is gone")

    path = tmp_path / f"rows{ending}"
    path.write_text("mine")
    with pytest.raises(OSError, match="the table is gone"):
        exports.write(torn(), str(path), overwrite=True)
    assert path.read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    export(tmp_path / "one.csv.gz")
    export(tmp_path / "two.csv.gz")
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "one.csv.gz").read_bytes()).startswith(b'"id","text","at","share"\n')


@pytest.mark.parametrize("name", ["rows", "rows.xlsx", "rows.parquet.gz", "csv"])
def test_another_ending_is_named_with_those_that_can_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"must end in one of \.parquet, \.csv"):
        export(tmp_path / name)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder .*/nowhere"):
        export(tmp_path / "nowhere" / "rows.csv")


@pytest.mark.parametrize(
    ("ending", "values"),
    [(".csv", pa.array([[1]])), (".jsonl", pa.array([float("inf")])), (".jsonl", pa.array([b"x"]))],
)
def test_what_a_format_cannot_hold_is_told(tmp_path: Path, ending: str, values: pa.Array) -> None:
    with pytest.raises(ValueError, match="cannot"):
        export(tmp_path / f"rows{ending}", pa.table({"x": values}))
    assert not list(tmp_path.iterdir())


def test_exact_numbers_are_text_in_json(tmp_path: Path) -> None:
    export(tmp_path / "rows.jsonl", pa.table({"x": [Decimal("0.10")]}))
    assert (tmp_path / "rows.jsonl").read_text() == '{"x": "0.10"}\n'
