from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.cli.cli_parser import get_parser

from airflow_mlops import config
from airflow_mlops.domain.facts.results import TrainedModel
from airflow_mlops.domain.spec.model import Candidate
from airflow_mlops.stages.train import jobs
from history import MODEL, History

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

BUILT = """
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def build(C=1.0):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_pipeline(ColumnTransformer([("numbers", numbers, ["distance", "wind"])]), LogisticRegression(C=C))
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    found = History(tmp_path)
    options = {"storage": found.storage, "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"}
    for name, value in options.items():
        monkeypatch.setenv(f"AIRFLOW__MLOPS__{name.upper()}", value)
        getattr(config, name).cache_clear()
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield found
    for name in options:
        getattr(config, name).cache_clear()


def trained(store: History, candidate: Candidate | None = None) -> TrainedModel:
    store.publish("2013-01")
    dataset = store.publish("2013-02")
    return store.train(dataset, candidate=candidate) if candidate else store.train(dataset)


def mlops(*command: str) -> None:
    args = get_parser().parse_args(["mlops", "reproduce", *command])
    args.func(args)


def test_a_version_that_is_reproduced_ends_well_with_each_step_and_finding(
    store: History, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(store)
    mlops(MODEL, "1")
    out = capsys.readouterr().out
    assert "Fitting LogisticRegression to 264 rows" in out
    rows = [[cell.strip() for cell in line.split("|")] for line in out.splitlines() if line.count("|") == 2]
    found = {row[0]: row[1] for row in rows[1:]}
    assert (found["digest"], found["scikit-learn"], found["metrics"]) == ("✓ same", "✓ same", "? unknown")
    assert "flights version 1 was reproduced: the same model" in out


def test_a_version_that_is_not_reproduced_ends_with_1_and_says_what_differs(
    store: History, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(store)
    store.client.set_model_version_tag(MODEL, "1", "mlops.digest", "0" * 64)
    with pytest.raises(SystemExit, match="not reproduced: digest differs; .* an earlier partition") as ended:
        mlops(MODEL, "1")
    assert isinstance(ended.value.code, str)  # printed to stderr, and the process ends with 1
    assert "differs" in capsys.readouterr().out


def test_what_cannot_be_repeated_is_no_traceback(store: History) -> None:
    trained(store)
    store.client.delete_model_version_tag(MODEL, "1", jobs.RECIPE)
    with pytest.raises(SystemExit, match="no tag mlops.recipe"):
        mlops(MODEL, "1")
    with pytest.raises(SystemExit, match="Model 'trains' has no version '1'"):
        mlops("trains", "1")


def test_a_candidate_beside_the_dag_files_is_found(
    store: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "beside_the_dags.py").write_text(BUILT)
    with monkeypatch.context() as context:
        context.syspath_prepend(dags)
        trained(store, Candidate(estimator="beside_the_dags:build"))
    monkeypatch.delitem(sys.modules, "beside_the_dags")
    with pytest.raises(SystemExit, match="built by beside_the_dags:build, which is not called: there is no"):
        mlops(MODEL, "1")
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(dags))
    mlops(MODEL, "1")
    assert "was reproduced" in capsys.readouterr().out
