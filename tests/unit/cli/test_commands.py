from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
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
    mlops("spec", "check", str(file), "--no-data")
    assert capsys.readouterr().out == f"{file}: flights is valid.\n"
    with pytest.raises(
        SystemExit, match=r"^source.files: no look at the data: there is no file /data/\*.parquet$"
    ):
        mlops("spec", "check", str(file))
    with pytest.raises(SystemExit, match="give one of them"):
        mlops("spec", "check", str(file), "--no-data", "--data")


def test_the_last_file_of_a_source_tells_what_is_written_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "flights.yaml"
    file.write_text(SPEC.replace("/data/{partition}.parquet", f"{tmp_path}/{{partition}}.csv"))
    (tmp_path / "2026-01.csv").write_text("id,at,x\n1,2026-01-01,1\n")
    (tmp_path / "2026-02.csv").write_text("id,at,late\n")
    mlops("spec", "check", str(file))
    assert capsys.readouterr().out == f"{file}: flights is valid.\n"
    rows = "".join(f'{number},"31.01.2026","{number},5",0\n' for number in range(100_000))
    (tmp_path / "2026-02.csv").write_text(f"id,at,x,late\n{rows}")
    mlops("spec", "check", str(file))
    valid, *hints = capsys.readouterr().out.splitlines()
    assert valid == f"{file}: flights is valid."
    values = ", ".join(f"'{number},5' (line {number + 2} of {tmp_path}/2026-02.csv)" for number in range(3))
    assert hints[1] == (
        f"source.files: 'x' is text, and looks like numbers in another notation: {values}; write decimal: ',', or "
        "types: {x: string} if it is text"
    )
    assert "write times: {at: '%d.%m.%Y'}" in hints[0]
    (tmp_path / "2026-02.csv").write_text('id,at,late,x\n1,2026-01-01,0,"5\\" x"\n')
    with pytest.raises(SystemExit) as ended:
        mlops("spec", "check", str(file))
    assert str(ended.value.code).endswith("write escape: \\")


def test_data_elsewhere_is_looked_at_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "flights.yaml"
    file.write_text(SPEC.replace("/data/{partition}.parquet", "memory://nothing/{partition}.csv"))
    mlops("spec", "check", str(file))
    assert capsys.readouterr().out == f"{file}: flights is valid.\n"
    with pytest.raises(SystemExit) as ended:
        mlops("spec", "check", str(file), "--data")
    assert ended.value.code == "source.files: no look at the data: there is no file memory://nothing/*.csv"
    (tmp_path / "flights_elsewhere.py").write_text("def read(partition): ...\n")
    file.write_text(SPEC.replace('files: "/data/{partition}.parquet"', "python: flights_elsewhere:read"))
    with pytest.raises(SystemExit, match="^source: no look at the data: --data looks at files only$"):
        mlops("spec", "check", str(file), "--data")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_columns_that_the_last_file_lacks_are_named(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file, data = tmp_path / "flights.yaml", tmp_path / f"2026-01.{suffix}"
    spec = SPEC.replace("/data/{partition}.parquet", f"{tmp_path}/{{partition}}.{suffix}")
    file.write_text(f"{spec}features: {{numeric: [distance], categorical: [zzz]}}\n")
    frame = pd.DataFrame({"ID": [1], "at": ["2026-01-01"], "Distance": [1.5], "late": [0]})
    {
        "csv": lambda: frame.to_csv(data, index=False),
        "jsonl": lambda: frame.to_json(data, orient="records", lines=True),
        "parquet": lambda: frame.to_parquet(data),
    }[suffix]()
    problems = [
        f"source.files: {data} has no column 'id'; did you mean 'ID'?",
        f"source.files: {data} has no column 'distance'; did you mean 'Distance'?",
        f"source.files: {data} has no column 'zzz'; it has ID, at, Distance, late",
    ]
    with pytest.raises(SystemExit) as ended:
        mlops("spec", "check", str(file), "--data")
    assert ended.value.code == "\n".join(problems)
    looked = f"source.files: looked at all 1 row of {data}, the last file\n"
    label = "source.files: 'late' has 1 class: 0 (1); a training needs rows of two\n"
    assert capsys.readouterr().out == looked + label
    with pytest.raises(SystemExit) as ended:
        mlops("spec", "check", str(file))
    assert ended.value.code == "\n".join(problems)
    (tmp_path / "flights_prepared.py").write_text("def prepare(rows): return rows\n")
    file.write_text(f"{spec}transform: flights_prepared:prepare\n")
    mlops("spec", "check", str(file), "--data")
    assert capsys.readouterr().out == f"{file}: flights is valid.\n{looked}{label}"


def test_columns_of_weights_groups_and_parts_that_the_last_file_lacks_are_named(tmp_path: Path) -> None:
    file, data = tmp_path / "flights.yaml", tmp_path / "2026-01.csv"
    pd.DataFrame({"id": [1], "at": ["2026-01-01"], "late": [0], "weight": [2]}).to_csv(data, index=False)
    file.write_text(
        SPEC.replace("/data/{partition}.parquet", f"{tmp_path}/{{partition}}.csv")
        + "train: {weights: weigth, groups: firm}\n"
        + "gates: {slices: {by: [origin], floor: {roc_auc: 0.5}},"
        + " fairness: {by: [destination], gaps: {roc_auc: 0.1}}}\n"
        + "monitor: {performance: {slices: [carrier]}}\n"
    )
    with pytest.raises(SystemExit) as ended:
        mlops("spec", "check", str(file), "--data")
    assert str(ended.value.code).splitlines() == [
        f"source.files: {data} has no column 'weigth'; did you mean 'weight'?",
        *(
            f"source.files: {data} has no column '{column}'; it has id, at, late, weight"
            for column in ("firm", "origin", "destination", "carrier")
        ),
    ]


def test_values_that_are_no_numbers_are_told_as_the_run_will_treat_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, data = tmp_path / "flights.yaml", tmp_path / "2026-01.csv"
    rows = "".join(f"{number},2026-01-01,{number}.5,0\n" for number in range(286))
    data.write_text(f"id,at,x,late\n{rows}286,2026-01-01,?,0\n287,2026-01-01,none,1\n")
    spec = f"{SPEC.replace('/data/{partition}.parquet', f'{tmp_path}/{{partition}}.csv')}features: {{numeric: [x]}}\n"
    said = "source.files: 'x' cannot be read as double in 2 of 288 values: "
    values = "'?' (line 288 of 2026-01.csv), 'none' (line 289 of 2026-01.csv)"
    file.write_text(spec)
    with pytest.raises(SystemExit) as ended:
        mlops("spec", "check", str(file), "--data")
    assert f"{said}{values}; correct them, or set such rows aside" in str(ended.value.code)
    file.write_text(f"{spec}on_unreadable: quarantine\n")
    mlops("spec", "check", str(file), "--data")
    assert f"{said}{values}; their rows are set aside\n" in capsys.readouterr().out
    file.write_text(f"{spec}on_unreadable: quarantine\npii: [x]\n")
    mlops("spec", "check", str(file), "--data")
    out = capsys.readouterr().out
    assert f"{said}line 288 of 2026-01.csv, line 289 of 2026-01.csv; their rows are set aside\n" in out
    (tmp_path / "flights_prepared.py").write_text("def prepare(rows): return rows\n")
    file.write_text(f"{spec}transform: flights_prepared:prepare\npii: [x]\n")
    mlops("spec", "check", str(file), "--data")
    out = capsys.readouterr().out
    assert f"2 of 288 values are no numbers: line 288 of {data}, line 289 of {data}; correct" in out


def test_values_of_personal_data_are_in_no_output_of_a_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "flights.yaml"
    options = "types: {x: double}, times: {seen: '%d.%m.%Y'}, delimiter: ';'"
    files = f"{{path: '{tmp_path}/{{partition}}.csv', {options}}}"
    file.write_text(SPEC.replace('"/data/{partition}.parquet"', files) + "pii: [x, seen, pay]\n")
    rows = "".join(f"{number};2026-01-01;SECRET;SECRET;{number + 1}7,5;0\n" for number in range(9))
    (tmp_path / "2026-01.csv").write_text(f"id;at;x;seen;pay;late\n{rows}")
    with pytest.raises(SystemExit) as ended:
        mlops("spec", "check", str(file))
    out = f"{capsys.readouterr().out}{ended.value.code}"
    assert "'x' cannot be read as double in 9 of 9 values: line 2 of 2026-01.csv" in out
    assert "'seen' cannot be read as a time in 9 of 9 values: line 2 of 2026-01.csv" in out
    assert "'pay' is text, and looks like numbers in another notation: line 2 of" in out
    assert "SECRET" not in out
    assert "7,5" not in out


def test_a_cell_is_named_with_the_file_that_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "flights.yaml"
    files = f"{{path: '{tmp_path}/{{partition}}.csv', types: {{x: double}}}}"
    file.write_text(SPEC.replace('"/data/{partition}.parquet"', files))
    (tmp_path / "2026-01.csv").write_text("id,at,x,late\n1,2026-01-01,1.5,0\n2,2026-01-01,many,0\n")
    with pytest.raises(SystemExit, match=r"'many' \(line 3 of 2026-01.csv\)"):
        mlops("spec", "check", str(file), "--data")


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


def test_candidates_that_take_no_weights_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "flights.yaml"
    (tmp_path / "beside_flights.py").write_text(
        "from sklearn.neighbors import KNeighborsClassifier\n\n\ndef near():\n    return KNeighborsClassifier()\n"
    )
    candidates = (
        "[sklearn.linear_model.LogisticRegression, sklearn.svm.LinearSVC: {calibrate: sigmoid}, "
        "sklearn.neighbors.KNeighborsClassifier, ensemble: {of: [LogisticRegression, KNeighborsClassifier], method: voting}, "
        "'beside_flights:near', 'beside_flights:far']"
    )
    (tmp_path / "2026-01.csv").write_text("id,at,late,tonnage\n1,2026-01-01,0,1.5\n")
    spec = SPEC.replace("/data/{partition}.parquet", f"{tmp_path}/{{partition}}.csv")
    file.write_text(f"{spec}train: {{candidates: {candidates}}}\n")
    with pytest.raises(
        SystemExit,
        match=r"^train.candidates\[5\]: 'far': beside_flights:far cannot be imported: Attrib[^\n]*$",
    ):
        mlops("spec", "check", str(file))
    file.write_text(f"{spec}train: {{weights: tonnage, candidates: {candidates}}}\n")
    with pytest.raises(SystemExit) as ended:
        mlops("spec", "check", str(file))
    problems = str(ended.value.code).splitlines()
    why = "KNeighborsClassifier cannot be fitted with sample weights: linear models, trees"
    names = ["KNeighborsClassifier", "voting", "near"]
    for position, name, problem in zip((2, 3, 4), names, problems, strict=False):
        assert problem.startswith(f"train.candidates[{position}]: {name!r}: {why}")
        assert problem.endswith("; take it out, or leave train.weights out")
    assert len(problems) == 4
    assert problems[3].startswith("train.candidates[5]: 'far': beside_flights:far cannot be imported: Attrib")
