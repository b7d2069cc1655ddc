from __future__ import annotations

import gzip
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.engines.sources import FileSource, PythonSource
from airflow_mlops.exceptions import SourceMissing, SourceUnreadable

JANUARY = Partition.parse("2013-01", "month")
ROWS = pa.table({"id": [1, 2], "x": ["a", "b"]})


def make_function(monkeypatch: pytest.MonkeyPatch, function: Any) -> PythonSource:
    module = ModuleType("own_source")
    module.rows = function  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_source", module)
    return PythonSource("own_source:rows")


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_a_file_of_each_format_is_read(tmp_path: Path, suffix: str) -> None:
    texts = {"csv": b"id,x\n1,a\n2,b\n", "jsonl": b'{"id": 1, "x": "a"}\n{"id": 2, "x": "b"}\n'}
    path = tmp_path / f"2013-01.{suffix}"
    if suffix == "parquet":
        parquet.write_table(ROWS, path)
    else:
        text = texts[suffix.removesuffix(".gz")]
        path.write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)
    assert FileSource(f"{tmp_path}/{{partition}}.{suffix}").read(JANUARY).to_pydict() == ROWS.to_pydict()


def test_a_missing_file_is_named_with_its_partition(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"partition 2013-01: there is no file .*2013-01\.parquet"):
        FileSource(f"{tmp_path}/{{partition}}.parquet").read(JANUARY)


def test_an_empty_file_is_named_with_its_partition(tmp_path: Path) -> None:
    (tmp_path / "2013-01.csv").touch()
    with pytest.raises(SourceUnreadable, match=r"partition 2013-01: .*2013-01\.csv is empty"):
        FileSource(f"{tmp_path}/{{partition}}.csv").read(JANUARY)


@pytest.mark.parametrize("suffix", ["parquet", "csv.gz"])
def test_a_truncated_file_is_named_with_its_partition(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"2013-01.{suffix}"
    if suffix == "parquet":
        parquet.write_table(ROWS, path)
    else:
        path.write_bytes(gzip.compress(b"id,x\n" + b"1,a\n" * 10_000))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceUnreadable, match=rf"partition 2013-01: .*2013-01\.{suffix}"):
        FileSource(f"{tmp_path}/{{partition}}.{suffix}").read(JANUARY)


def test_a_function_may_return_a_table_or_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_function(monkeypatch, lambda partition: ROWS).read(JANUARY) == ROWS
    frame = make_function(monkeypatch, lambda partition: pd.DataFrame({"key": [partition.key]}))
    assert frame.read(JANUARY).to_pydict() == {"key": ["2013-01"]}


def test_a_function_that_returns_something_else_is_told_what_to_return(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(
        SourceUnreadable, match=r"own_source:rows\(2013-01\) returned list; return a pyarrow.Table"
    ):
        make_function(monkeypatch, lambda partition: [1]).read(JANUARY)


def test_a_function_that_fails_is_named_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceUnreadable, match=r"own_source:rows\(2013-01\) failed: ZeroDivisionError"):
        make_function(monkeypatch, lambda partition: 1 / 0).read(JANUARY)


def test_a_function_that_does_not_exist_is_named() -> None:
    with pytest.raises(SourceUnreadable, match="no_such_module"):
        PythonSource("no_such_module:rows").read(JANUARY)
