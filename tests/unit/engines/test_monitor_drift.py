from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.results import DatasetVersion, ModelRef
from airflow_mlops.domain.spec import DriftPolicy
from airflow_mlops.engines import drift, monitor_drift
from airflow_mlops.exceptions import RegistryUnavailable, TableMissing
from history import MODEL, History, shifted


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


@pytest.fixture
def champion(history: History) -> ModelRef:
    """A version that was trained on January and promoted in February."""
    history.publish("2013-01")
    return history.crown(history.train(history.publish("2013-02")), "2013-02")


def drift_of(history: History, dataset: DatasetVersion, champion: ModelRef) -> drift.Drift:
    return monitor_drift.drift(
        history.client, dataset=dataset, champion=champion, policy=DriftPolicy(min_rows=100, threshold=0.25)
    )


def wind(found: drift.Drift) -> Check:
    return next(check for check in found.columns if check.name == "drift.wind")


def test_a_month_of_stronger_wind_has_drifted_from_the_champions_training_data(
    history: History, champion: ModelRef
) -> None:
    assert wind(drift_of(history, history.publish("2013-03"), champion)).verdict is Verdict.PASS
    stormy = drift_of(history, history.publish("2013-03", shifted("2013-03")), champion)
    assert wind(stormy).verdict is Verdict.FAIL
    assert {check.name for check in stormy.columns} == {
        f"drift.{name}" for name in ("distance", "wind", "carrier", "origin")
    }
    assert f"{MODEL} 2013-03 against version {champion.version}" in stormy.html


def test_drift_is_measured_against_the_data_that_was_trained_on_also_after_it_was_published_anew(
    history: History, champion: ModelRef
) -> None:
    march = history.publish("2013-03")
    before = drift_of(history, march, champion)
    history.publish("2013-01", shifted("2013-01"))
    after = drift_of(history, march, champion)
    assert (after.overall, after.columns) == (before.overall, before.columns)


def test_the_holdout_is_no_training_data(history: History) -> None:
    history.publish("2013-01")
    trained = history.train(history.publish("2013-02", shifted("2013-02")))
    champion = history.crown(trained, "2013-02")
    assert wind(drift_of(history, history.publish("2013-03"), champion)).verdict is Verdict.PASS


def test_training_data_that_is_gone_is_named(history: History, champion: ModelRef) -> None:
    march = history.publish("2013-03")
    data = history.folder / "storage" / MODEL / "data"
    data.rename(data.with_name("elsewhere"))
    with pytest.raises(TableMissing, match="flights/data"):
        drift_of(history, march, champion)


def test_a_registry_that_cannot_be_reached_is_no_finding(
    history: History, champion: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    march = history.publish("2013-03")
    history.client = MlflowClient("http://127.0.0.1:1", "http://127.0.0.1:1")
    with pytest.raises(RegistryUnavailable):
        drift_of(history, march, champion)
