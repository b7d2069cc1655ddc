"""What a check of a spec says of the code and the files that it names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.cli.main import main
from airflow_mlops.domain.spec import estimator_index

SPEC = """
name: flights
task: classification
target: late
key: [id]
event_time: at
partition: month
source: {files: "FOLDER/{partition}.csv"}
"""
DATA = "id,at,x,late\n1,2026-01-01,1.5,0\n2,2026-01-02,2.5,1\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "2026-01.csv").write_text(DATA)
    (tmp_path / "models").mkdir()
    return tmp_path


def write(project: Path, more: str = "", folder: str | None = None) -> Path:
    file = project / "models" / "flights.yaml"
    file.write_text(SPEC.replace("FOLDER", folder or f"{project}/data") + more)
    return file


def problems(file: Path, *words: str) -> list[str]:
    try:
        main(["spec", "check", str(file), *words])
    except SystemExit as ended:
        return str(ended.code).splitlines()
    return []


def candidates(*lines: str) -> str:
    return "train:\n  candidates:\n" + "".join(f"    - {line}\n" for line in lines)


@pytest.mark.parametrize("words", [(), ("--no-data",)])
def test_estimators_and_parameters_that_do_not_exist_are_named_all_at_once(project: Path, words: Any) -> None:
    file = write(
        project,
        candidates(
            "sklearn.linear_model.LogisticRegresion: {}",
            "sklearn.linear_model.LogisticRegression: {maxiter: 500, CC: 1}",
            "sklearn.ensemble.HistGradientBoostingClassifier: {max_depth: 3}",
        ),
    )
    one, two, three = problems(file, *words)
    assert one.startswith(
        "train.candidates[0]: 'LogisticRegresion': sklearn.linear_model has no 'LogisticRegresion'"
    )
    assert "did you mean LogisticRegression" in one
    assert two.endswith("LogisticRegression has no parameter 'maxiter'; did you mean max_iter?")
    assert "LogisticRegression has no parameter 'CC'" in three


def test_members_of_ensembles_are_looked_at_once(project: Path) -> None:
    file = write(
        project,
        candidates(
            "sklearn.linear_model.LogisticRegression: {maxiter: 5}",
            "ensemble: {of: [LogisticRegression, {sklearn.tree.DecisionTreeClassifier: {depth: 3}}], method: voting}",
        ),
    )
    one, two = problems(file, "--no-data")
    assert "LogisticRegression has no parameter 'maxiter'" in one
    assert "DecisionTreeClassifier has no parameter 'depth'; did you mean max_depth?" in two


def test_what_only_a_build_shows_is_told_unless_nothing_is_imported(project: Path) -> None:
    file = write(project, candidates("sklearn.svm.LinearSVC: {}"))
    (problem,) = problems(file)
    assert "LinearSVC with these parameters gives no probabilities; calibrate" in problem
    assert problems(file, "--no-data") == []


def test_libraries_in_other_versions_than_the_index_are_asked_themselves(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(project, candidates("sklearn.linear_model.LogisticRegression: {brandnew: 1}"))
    content = {**estimator_index.index(), "versions": {"sklearn": "0.1", "lightgbm": "0.1", "xgboost": "0.1"}}
    content["estimators"] = {
        path: {**entry, "parameters": ["brandnew"]} for path, entry in content["estimators"].items()
    }
    monkeypatch.setattr(estimator_index, "index", lambda: content)
    (problem,) = problems(file, "--no-data")
    assert "LogisticRegression has no parameter 'brandnew'" in problem


@pytest.mark.parametrize("words", [(), ("--no-data",)])
def test_functions_that_cannot_be_imported_are_named_all_at_once(project: Path, words: Any) -> None:
    (project / "code_of_flights.py").write_text("def read(partition): ...\nnumber = 1\n")
    file = write(
        project,
        "transform: code_of_flights:prepare\n"
        "labels: {delay: P1D, source: {python: {function: 'code_of_flights:read', arrived: 'code_of_flights:number'}}}\n"
        "train:\n  metrics:\n    gain: {function: 'code_of_flights:gain', greater_is_better: true}\n"
        "  candidates: ['code_of_flights:build']\n",
    )
    words_of = [line.partition(":")[0] for line in problems(file, *words)]
    assert words_of == [
        "transform",
        "labels.source.python.arrived",
        "train.metrics.gain.function",
        "train.candidates[0]",
    ]


def test_functions_beside_the_spec_and_in_the_folder_above_are_imported(project: Path) -> None:
    (project / "above_flights.py").write_text("def prepare(rows): return rows\n")
    (project / "models" / "source_beside_spec.py").write_text("def read(partition): ...\n")
    file = write(project, "transform: above_flights:prepare\n")
    file.write_text(
        file.read_text().replace(
            f'files: "{project}/data/{{partition}}.csv"', "python: source_beside_spec:read"
        )
    )
    path = [*sys.path]
    assert problems(file) == []
    assert sys.path == path


def test_code_and_data_are_told_at_once(project: Path) -> None:
    file = write(project, "features: {numeric: [y]}\n" + candidates("sklearn.linear_model.Nothing: {}"))
    code, data = problems(file)
    assert code.startswith("train.candidates")
    assert data.startswith(f"source.files: {project}/data/2026-01.csv has no column 'y'")


def test_a_relative_path_is_looked_for_where_one_stands_and_told_where_it_is(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(project, folder="data")
    monkeypatch.chdir(project)
    assert problems(file) == []
    (project / "elsewhere").mkdir()
    monkeypatch.chdir(project / "elsewhere")
    (problem,) = problems(file)
    assert (
        f"there is no file data/*.csv in {project}/elsewhere, where relative paths begin, but in {project}; "
        in problem
    )
    assert f"write the whole path, {project}/data/{{partition}}.csv" in problem
    (project / "data" / "2026-01.csv").unlink()
    (problem,) = problems(file)
    assert problem.endswith("nor beside the spec")


def test_a_folder_that_does_not_exist_is_no_valid_source(project: Path) -> None:
    (problem,) = problems(write(project, folder="/nowhere/at/all"))
    assert problem == "source.files: no look at the data: there is no file /nowhere/at/all/*.csv"
    assert problems(write(project, folder="/nowhere/at/all"), "--no-data") == []
    assert problems(write(project, folder="file:///nowhere")) == [
        "source.files: no look at the data: there is no file file:///nowhere/*.csv"
    ]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("start: 2026-02\n", "start is 2026-02, and the last file is of 2026-01: none would be read"),
        (
            "start: 2025-01\nend: 2025-12\n",
            "end is 2025-12, and the first file is of 2026-01: none would be read",
        ),
        ("start: 2025-12\nend: 2026-01\n", None),
    ],
)
def test_first_and_last_partition_are_held_to_the_files(project: Path, more: str, words: str | None) -> None:
    assert problems(write(project, more)) == ([f"source.files: {words}"] if words else [])


def test_files_of_another_grain_are_named(project: Path) -> None:
    (project / "data" / "2026-01.csv").rename(project / "data" / "January.csv")
    (problem,) = problems(write(project))
    assert (
        problem
        == f"source.files: none of 1 files, such as {project}/data/January.csv, names a month, written %Y-%m"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (("--no-data",), {"airflow", "sklearn", "lightgbm", "pandas", "pyarrow", "numpy", "mlflow"}),
        ((), {"airflow", "mlflow", "deltalake", "great_expectations"}),
    ],
)
def test_the_program_loads_no_more_than_the_check_needs(project: Path, words: Any, absent: set[str]) -> None:
    file = write(project, candidates("sklearn.linear_model.Ridge: {}", "lightgbm.LGBMRegressor: {}"))
    file.write_text(file.read_text().replace("classification", "regression"))
    program = (
        "import sys; from airflow_mlops.cli.main import main; main(sys.argv[1:]); "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "spec", "check", str(file), *words],
        capture_output=True, text=True, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    valid, *_, modules = done.stdout.splitlines()
    assert valid == f"{file}: flights is valid."
    assert "pydantic" in modules
    assert not absent & set(modules.split())


def test_a_spec_of_data_alone_is_held_to_its_files(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(project)
    file.write_text(
        "".join(
            line for line in file.read_text().splitlines(True) if "task" not in line and "target" not in line
        )
    )
    assert problems(file) == []
    assert "flights is valid: data alone, without task and target no model" in " ".join(
        capsys.readouterr().out.split()
    )
    file.write_text(file.read_text().replace("[id]", "[nr]"))
    [problem] = problems(file)
    assert problem.endswith("2026-01.csv has no column 'nr'; it has id, at, x, late")
