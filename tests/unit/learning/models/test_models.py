from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.facts.results import ModelRef, TrainedModel
from airflow_mlops.domain.spec.model import Candidate, Features
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, RegistryUnavailable
from airflow_mlops.learning.models import models, pipeline
from airflow_mlops.stores.registry import tracking
from synthetic import FEATURES, make_client, make_rows, make_trained


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_client(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(scope="module")
def trained(client: Any) -> TrainedModel:
    return make_trained(client, make_rows(), "models")


def ref_of(trained: TrainedModel, **changes: str) -> ModelRef:
    facts = {
        "model": trained.model,
        "version": trained.version,
        "digest": trained.digest,
        "run_id": trained.run_id,
    }
    return ModelRef(**{**facts, **changes})


def test_a_registered_version_loads_and_predicts(client: Any, trained: TrainedModel) -> None:
    model = models.load_version(client, ref_of(trained))
    assert len(models.predict(model, make_rows(), "classification")) == 1000


def test_a_version_with_another_digest_is_refused(client: Any, trained: TrainedModel) -> None:
    with pytest.raises(DigestMismatch, match="000000000000… was trained"):
        models.load_version(client, ref_of(trained, digest="0" * 64))


def test_mlflow_itself_loads_the_version(
    client: Any, trained: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.sklearn

    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    uri = f"models:/{trained.model}/{trained.version}"
    inputs = mlflow.models.get_model_info(uri).signature.inputs
    assert [column.name for column in inputs.inputs] == ["distance", "wind", "carrier", "origin"]
    ours = models.load_version(client, ref_of(trained))
    frame = pipeline.frame(make_rows(), FEATURES)
    assert (mlflow.sklearn.load_model(uri).predict(frame) == ours.predict(frame)).all()


@pytest.mark.parametrize(
    ("path", "needs"),
    [
        ("lightgbm.LGBMClassifier", {"lightgbm"}),
        ("xgboost.XGBClassifier", {"xgboost-cpu", "xgboost"}),
        ("sklearn.tree.DecisionTreeClassifier", set()),
    ],
)
def test_a_logged_model_says_what_it_needs_and_takes(
    client: Any, path: str, needs: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.sklearn

    features = Features(numeric=("wind",), categorical=("carrier",), dates=("departure",))
    known, labels = pipeline.labelled(make_rows(200), "late", "classification")
    frame = pipeline.frame(known, features)
    model = pipeline.build(Candidate(estimator=path), features, "classification", 0).fit(frame, labels)
    with tracking.run(client, tracking.experiment(client, "boosting"), "run", path, {}) as run:
        logged = models.log(client, run, "boosting", model, features, "classification", {"candidate.py": "x"})
    assert {line.partition("==")[0] for line in models.requirements(model)} - needs == {
        *("numpy", "pandas", "scikit-learn", "scipy", "skops")
    }
    location = Path(logged.location.removeprefix("file://"))
    written = set((location / "requirements.txt").read_text().split())
    assert {line for line in written if not line.startswith("mlflow")} == set(models.requirements(model))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    uri = f"models:/{logged.model_id}"
    inputs = mlflow.models.get_model_info(uri).signature.inputs
    assert inputs.to_dict()[-1] == {"type": "double", "name": "departure", "required": False}
    found = mlflow.sklearn.load_model(uri)
    assert (found.predict_proba(frame) == model.predict_proba(frame)).all()
    assert models.digest(location / "model.skops") == logged.digest


def test_an_unknown_run_is_not_found(client: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="nowhere"):
        models.download(client, "nowhere", tmp_path)


def test_a_lost_model_file_is_not_found(client: Any, tmp_path: Path) -> None:
    trained = make_trained(client, make_rows(), "lost file", model="lost")
    model_id = client.get_run(trained.run_id).outputs.model_outputs[0].model_id
    location = client.get_logged_model(model_id).artifact_location.removeprefix("file://")
    (Path(location) / "model.skops").unlink()
    with pytest.raises(ModelNotFound):
        models.load_version(client, ref_of(trained))


def test_a_server_that_does_not_answer_is_no_missing_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    password = "secret".upper()  # a traceback shows lines of this file
    with pytest.raises(RegistryUnavailable, match=r"http://127\.0\.0\.1:9") as error:
        models.download(MlflowClient(f"http://user:{password}@127.0.0.1:9"), "run", tmp_path)
    assert password not in "".join(traceback.format_exception(error.value))
