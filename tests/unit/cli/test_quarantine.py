from __future__ import annotations

import getpass
import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from airflow.cli.cli_parser import get_parser

from airflow_mlops import config
from airflow_mlops.stages.ingest import quarantine
from airflow_mlops.stores.tables import tables

COMMANDS = {
    "list": [],
    "export": ["--output-file", "rows.csv"],
    "release": ["--reason", "looked at", "--partition", "2013-01"],
}


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AIRFLOW__MLOPS__STORAGE", f"file://{tmp_path}/store")
    monkeypatch.chdir(tmp_path)
    config.storage.cache_clear()
    yield f"file://{tmp_path}/store"
    config.storage.cache_clear()


def mlops(*command: str) -> None:
    args = get_parser().parse_args(["mlops", "quarantine", *command])
    args.func(args)


def set_aside(storage: str, partition: str, reasons: dict[int, str]) -> None:
    start = datetime.strptime(partition, "%Y-%m").replace(tzinfo=UTC)
    rows = pa.table({"id": [1, 2, 3], "at": [start] * 3, "weight": [-1.0, -2.0, 3.0]})
    staged = tables.publish(
        tables.uri_of(storage, "orders", "staging"), rows, name="orders", grain="month", partition=partition,
        key=["id"], event_time="at", source="test", run="test",
    )  # fmt: skip
    uri = tables.uri_of(storage, "orders", "quarantine")
    quarantine.set_aside(staged, reasons, quarantine=uri, run="test")


@pytest.fixture
def aside(storage: str) -> str:
    set_aside(storage, "2013-01", {0: "weight is below 0", 1: "weight is below 0"})
    set_aside(storage, "2013-02", {2: "weight is odd"})
    return storage


def test_rows_set_aside_are_listed_by_partition_and_reason(
    aside: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mlops("release", "orders", "--partition", "2013-02", "--reason", "fine")
    capsys.readouterr()
    mlops("list", "orders", "--output", "json")
    assert json.loads(capsys.readouterr().out) == [
        {"partition": "2013-01", "reason": "weight is below 0", "rows": "2", "released": "0"},
        {"partition": "2013-02", "reason": "weight is odd", "rows": "1", "released": "1"},
    ]
    mlops("list", "orders", "--partition", "2013-02", "--output", "json")
    assert [each["partition"] for each in json.loads(capsys.readouterr().out)] == ["2013-02"]


def test_an_export_can_be_edited_and_released(
    aside: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mlops("export", "orders", "--partition", "2013-01", "--output-file", "rows.csv")
    assert capsys.readouterr().out == "rows.csv: 2 rows of orders.\n"
    file = tmp_path / "rows.csv"
    assert "weight is below 0" in file.read_text()
    file.write_text(file.read_text().replace(",-2,", ",2,"))
    mlops(
        "release", "orders", "--partition", "2013-01", "--file", "rows.csv", "--reason", "scales were wrong"
    )
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "Released 2 rows of orders 2013-01: 1 corrected, 1 as they are."
    released = tables.read(tables.uri_of(aside, "orders", "released"))
    assert released["_by"].to_pylist() == [getpass.getuser()] * 2
    assert released["_reason"].to_pylist() == ["scales were wrong"] * 2
    assert rest[0] == "They go on when the partition is ingested again:"
    airflow, *command = shlex.split(rest[1])
    args = get_parser().parse_args(command)
    assert (airflow, args.dag_id, args.partition_key, args.yes) == (
        "airflow",
        "orders.ingest",
        "2013-01",
        True,
    )


def test_without_a_partition_all_are_exported(aside: str, capsys: pytest.CaptureFixture[str]) -> None:
    mlops("export", "orders", "--output-file", "rows.jsonl")
    assert capsys.readouterr().out == "rows.jsonl: 3 rows of orders.\n"
    with pytest.raises(SystemExit, match="there already"):
        mlops("export", "orders", "--output-file", "rows.jsonl")
    mlops("export", "orders", "--output-file", "rows.jsonl", "--overwrite")


def test_releasing_twice_says_that_there_is_nothing_to_do(
    aside: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        mlops("release", "orders", "--partition", "2013-01", "--reason", "fine")
    out = capsys.readouterr().out
    assert "Released 2 rows of orders 2013-01: 2 as they are." in out
    assert "Nothing to do: 2 rows of orders 2013-01 were released so before." in out


def test_what_is_wrong_with_a_file_is_no_traceback(aside: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id\n1\n")
    with pytest.raises(SystemExit, match=r"rows.csv lacks 'at', 'weight'"):
        mlops("release", "orders", "--partition", "2013-01", "--reason", "fine", "--file", "rows.csv")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_model_that_is_not_there_is_named(command: str) -> None:
    with pytest.raises(SystemExit, match=r"no data of 'trains' at .*/store/trains"):
        mlops(command, "trains", *COMMANDS[command])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_model_with_nothing_in_quarantine_is_told(command: str, storage: str) -> None:
    set_aside(storage, "2013-01", {})
    with pytest.raises(SystemExit, match="No row of 'orders' is in quarantine"):
        mlops(command, "orders", *COMMANDS[command])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_partition_with_nothing_in_quarantine_is_told(command: str, aside: str) -> None:
    with pytest.raises(
        SystemExit, match="No row of 'orders' 2013-03 is in quarantine; 2013-01, 2013-02 have"
    ):
        mlops(command, "orders", *COMMANDS[command], "--partition", "2013-03")
