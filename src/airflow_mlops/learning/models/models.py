"""Models in MLflow: logged, fetched and loaded by their digest, and what they predict."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.estimators import distributions
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, UntrustedModel
from airflow_mlops.learning.models import classes as label_classes
from airflow_mlops.learning.models import pipeline, thresholds
from airflow_mlops.learning.models.skops_file import digest, load, save, skops_io, trusted_types, verify
from airflow_mlops.stores import damage
from airflow_mlops.stores.registry import tracking

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.models import ModelSignature
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.facts.results import ModelRef
    from airflow_mlops.domain.spec.model import Features

__all__ = [
    "Logged",
    "digest",
    "download",
    "load",
    "load_version",
    "log",
    "predict",
    "predicted",
    "requirements",
    "save",
    "trusted_types",
    "verify",
]

# On a local store MLflow writes the name and version beside a model whenever it loads one by an address `models:/…`. It is
# YAML that nobody executes, and that is not read here.
_LEFT_BY_MLFLOW = frozenset({"registered_model_meta"})
_ALWAYS = ("numpy", "pandas", "scikit-learn", "scipy", "skops")


@dataclass(frozen=True)
class Logged:
    """A model that was logged to MLflow.

    :param location: URI of its artifacts.
    :param digest: digest of the very bytes that were uploaded.
    """

    model_id: str
    location: str
    digest: str


def log(
    client: MlflowClient,
    run: Run,
    name: str,
    model: Pipeline,
    features: Features,
    task: str,
    beside: Mapping[str, str] | None = None,
) -> Logged:
    """Log a fitted pipeline to an MLflow run.

    It does what ``mlflow.sklearn.log_model`` does, but with this client rather than with global state.

    :param beside: text of further files among the artifacts, by name.
    :raises UntrustedModel: if the pipeline holds types that :func:`load` would refuse.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    skops_io()
    import mlflow.sklearn
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    run_id = run.info.run_id
    with tracking.errors(client), TemporaryDirectory() as folder:
        logged = client.create_logged_model(run.info.experiment_id, name=name, source_run_id=run_id)
        path = Path(folder) / "model"
        try:
            mlflow.sklearn.save_model(
                model,
                path,
                mlflow_model=Model(logged.artifact_location, run_id, model_id=logged.model_id),
                signature=_signature(features, task),
                pip_requirements=requirements(model),
                serialization_format="skops",
                skops_trusted_types=trusted_types(),
            )
        except MlflowException as error:
            raise UntrustedModel(f"The model cannot be saved: {error.message}") from error
        model_digest = digest(path / tracking.MODEL_FILE)
        for file, text in (beside or {}).items():
            (path / file).write_bytes(text.encode())
        client.log_model_artifacts(logged.model_id, str(path))
        tracking.add_output(client, run, logged.model_id, _digests(path))
    return Logged(logged.model_id, logged.artifact_location, model_digest)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _signature(features: Features, task: str) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs: list[Any] = [ColSpec("double", name, required=False) for name in features.numeric]
    inputs += [ColSpec("string", name, required=False) for name in features.categorical]
    inputs += [ColSpec("double", name, required=False) for name in features.dates]
    inputs += [ColSpec("string", name, required=False) for name in features.kinds.get("text", ())]
    return ModelSignature(Schema(inputs), Schema([ColSpec("long" if task == "classification" else "double")]))


def requirements(fitted: Pipeline) -> list[str]:
    """Return what a model needs to be loaded and to predict the same, as lines of a ``requirements.txt``."""
    # MLflow would otherwise find them by loading the model in another process, which takes seconds.
    # A threshold hides the parts of the estimator that it is put around.
    parts = [fitted, *fitted.get_params().values(), *thresholds.estimator_of(fitted).get_params().values()]
    used = {type(part).__module__.partition(".")[0] for part in parts}
    names = {*_ALWAYS, *(name for package in used for name in distributions(package) if _version(name))}
    lines = [f"{name}=={_version(name)}" for name in sorted(names)]
    # A class of ours stays what it is in later releases.
    if "airflow_mlops" in used and (ours := _version("airflow-mlops")):
        lines.append(f"airflow-mlops>={ours}")
    return lines


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def download(client: MlflowClient, run_id: str, folder: Path, file: str = tracking.MODEL_FILE) -> Path:
    """Fetch the model file of a training run, or another one beside it, into a folder.

    The model file is not checked here, but by :func:`verify`; any other file must be the one that training has stored.

    :raises ModelNotFound: if the run, its model or the file does not exist.
    :raises DigestMismatch: if there are files among the artifacts that training has not stored, such as a folder
        ``code``, which MLflow itself would run; nothing has been fetched then. Also if a file other than the model has
        changed.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    import mlflow.artifacts

    with tracking.errors(client):
        outputs = client.get_run(run_id).outputs
        if outputs is None or not outputs.model_outputs:
            raise ModelNotFound(f"MLflow run {run_id} has logged no model.")
        model = client.get_logged_model(outputs.model_outputs[-1].model_id)
        stored = _stored(client, model)
        downloaded = mlflow.artifacts.download_artifacts(
            f"{model.artifact_location}/{file}",
            dst_path=str(folder),
            tracking_uri=client.tracking_uri,
        )
    path = Path(downloaded)
    if (
        file in stored
        and file != tracking.MODEL_FILE
        and not (path.is_file() and _sha256(path) == stored[file])
    ):
        raise DigestMismatch(f"{file} of MLflow run {run_id} is not the file that training has stored.")
    return path


def _stored(client: MlflowClient, model: LoggedModel) -> dict[str, str]:
    """Return the digests of the files that training has stored; empty if an older release has logged the model."""
    with damage.errors(
        f"The tag {tracking.FILES} of the model of MLflow run {model.source_run_id}", DigestMismatch
    ):
        stored: dict[str, str] = dict(json.loads(model.tags.get(tracking.FILES, "{}")))
        stored_roots = {path.partition("/")[0] for path in stored}
    listed = {
        file.path
        for file in client.list_logged_model_artifacts(model.model_id)
        if file.is_dir or file.path not in _LEFT_BY_MLFLOW
    }
    if stored_roots and (strange := sorted(listed - stored_roots)):
        raise DigestMismatch(
            f"Beside the model of MLflow run {model.source_run_id} lies what training has not stored: {', '.join(strange)}. "
            "Find out who has put it there, and train again."
        )
    return stored


def load_version(client: MlflowClient, ref: ModelRef) -> Pipeline:
    """Load a registered version, digest-verified.

    :raises ModelNotFound: if its run or its file does not exist.
    :raises DigestMismatch: if its content is not what was trained.
    """
    with TemporaryDirectory() as folder:
        return load(download(client, ref.run_id, Path(folder)), ref.digest)


def predict(
    model: Pipeline, frame: pa.Table | pd.DataFrame, task: str, classes: Sequence[str] | None = None
) -> np.ndarray:
    """Predict each row: the value of a regression, the probability of the second of two classes, or of each of many.

    :param frame: rows with at least the model's features, of any types that :func:`pipeline.frame` converts.
    :param classes: the order of the probabilities, one column a class; None means the model's own. A class that the model
        does not know has none.
    :raises SchemaMismatch: if a feature is missing or cannot be converted.
    """
    return predicted(model, pipeline.frame(frame, pipeline.features_of(model)), task, classes)


def predicted(
    model: Pipeline, frame: pd.DataFrame, task: str, classes: Sequence[str] | None = None
) -> np.ndarray:
    """Predict rows that :func:`pipeline.frame` has prepared already; otherwise as :func:`predict`."""
    if task != "classification":
        values: np.ndarray = model.predict(frame)
        return values
    own = label_classes.of(model)
    return label_classes.arranged(own, model.predict_proba(frame), classes or own.names)
