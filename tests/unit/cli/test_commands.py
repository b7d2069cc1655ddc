from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.cli.cli_parser import get_parser

SPEC = """
name: flights
task: classification
target: late
key: [id]
event_time: at
partition: month
source: {files: "/data/{partition}.parquet"}
"""


def mlops(*command: str) -> None:
    args = get_parser().parse_args(["mlops", *command])
    args.func(args)


def test_a_valid_spec_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "flights.yaml"
    file.write_text(SPEC)
    mlops("spec", "check", str(file))
    assert capsys.readouterr().out == f"{file}: flights is valid.\n"


def test_the_last_file_of_a_source_tells_what_is_written_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "flights.yaml"
    file.write_text(SPEC.replace("/data/{partition}.parquet", f"{tmp_path}/{{partition}}.csv"))
    (tmp_path / "2026-01.csv").write_text("id,at,x\n1,2026-01-01,1\n")
    (tmp_path / "2026-02.csv").write_text("id;at\n")
    mlops("spec", "check", str(file))
    assert capsys.readouterr().out == f"{file}: flights is valid.\n"
    rows = "".join(f'{number},"31.01.2026","{number},5"\n' for number in range(100_000))
    (tmp_path / "2026-02.csv").write_text(f"id,at,x\n{rows}")
    mlops("spec", "check", str(file))
    valid, *hints = capsys.readouterr().out.splitlines()
    assert valid == f"{file}: flights is valid."
    values = ", ".join(f"'{number},5' (line {number + 2} of {tmp_path}/2026-02.csv)" for number in range(3))
    assert hints[1] == (
        f"source.files: 'x' is text, and looks like numbers in another notation: {values}; write decimal: ',', or "
        "types: {x: string} if it is text"
    )
    assert "write times: {at: '%d.%m.%Y'}" in hints[0]
    (tmp_path / "2026-02.csv").write_text('id,at,x\n1,2026-01-01,"5\\" x"\n')
    mlops("spec", "check", str(file))
    assert capsys.readouterr().out.endswith("write escape: \\\n")


def test_data_elsewhere_is_looked_at_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "flights.yaml"
    file.write_text(SPEC.replace("/data/{partition}.parquet", "memory://nothing/{partition}.csv"))
    mlops("spec", "check", str(file))
    assert capsys.readouterr().out == f"{file}: flights is valid.\n"
    mlops("spec", "check", str(file), "--data")
    assert "source.files: there is no file memory://nothing/*.csv to look at" in capsys.readouterr().out


def test_every_problem_of_a_spec_is_printed_at_once(tmp_path: Path) -> None:
    file = tmp_path / "flights.yaml"
    file.write_text(SPEC.replace("classification", "classify").replace("month", "moon"))
    with pytest.raises(SystemExit) as ended:
        mlops("spec", "check", str(file))
    assert "2 problems" in str(
        ended.value.code
    )  # a text as code: printed to stderr, and the process ends with 1
    assert "task" in str(ended.value.code)
    assert "partition" in str(ended.value.code)


def test_a_spec_that_is_not_there_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="none.yaml"):
        mlops("spec", "check", str(tmp_path / "none.yaml"))


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    mlops("spec", "schema")
    assert {"name", "task", "target"} <= set(json.loads(capsys.readouterr().out)["properties"])


def test_a_suite_that_a_spec_names_and_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "flights.yaml"
    file.write_text(SPEC + "validate:\n  - suite: suites/flights.json\n")
    with pytest.raises(SystemExit) as ended:
        mlops("spec", "check", str(file))
    assert f"There is no suite at {tmp_path}/suites/flights.json" in str(ended.value.code)
