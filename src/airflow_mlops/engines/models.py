"""Model artifacts: written and read with skops, known by a digest of their content."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

from airflow_mlops.engines import pipeline, tracking
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, UntrustedModel

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.models import ModelSignature
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.results import ModelRef
    from airflow_mlops.domain.spec import Features

# Beyond the types that skops itself trusts: scikit-learn's estimators and the functions and containers of NumPy and
# SciPy. Trees hold indices that scikit-learn follows without checking bounds; they are safe here because the digest
# is checked before anything is loaded.
_TRUSTED = (
    "functools.partial",  # of functions on this list or on that of skops; histogram gradient boosting holds one
    "numpy.dtype",
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)


def trusted_types() -> list[str]:
    """Return the qualified names of the types that a model may hold beyond those that skops trusts."""
    return list(_TRUSTED)


def digest(path: Path) -> str:
    """Return a sha256 of what a skops file means: equal for models that were fitted alike.

    skops names objects by their ids, some members at random, and dates them all; none of these counts. What counts
    is the schema in its order (sets sorted) and the bytes of the members it refers to.

    :raises DigestMismatch: if the file is torn, or holds anything that its schema does not account for.
    """
    try:
        with ZipFile(path) as archive:
            names = sorted(archive.namelist())
            content = _Content(archive)
            text = content.of(json.loads(archive.read("schema.json")))
    except (BadZipFile, OSError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, DigestMismatch):
            raise
        raise DigestMismatch(f"{path.name} is no whole skops file: {error}") from error
    if names != sorted({"schema.json", *content.members}):
        raise DigestMismatch(f"{path.name} holds members that its schema does not name, or one twice.")
    return hashlib.sha256(text.encode()).hexdigest()


class _Content:
    """Writes a skops schema as text: digests in place of nodes and members, and no ids.

    Loading takes one object for another where their ids are equal, so equal ids must stand for equal content.
    """

    def __init__(self, archive: ZipFile) -> None:
        self.archive = archive
        self.members: set[str] = set()
        self.digests: dict[int, str] = {}

    def of(self, value: Any) -> str:
        if isinstance(value, list):
            return f"[{','.join(map(self.of, value))}]"
        if not isinstance(value, dict):
            return json.dumps(value)
        # A node names its loader in text; a mapping's values, whatever its keys, are nodes.
        return self._node(value) if isinstance(value.get("__loader__"), str) else self._mapping(value)

    def _mapping(self, value: dict[str, Any]) -> str:
        return f"{{{','.join(f'{json.dumps(key)}:{self.of(item)}' for key, item in value.items())}}}"

    def _node(self, value: dict[str, Any]) -> str:
        fields = dict(value)
        number, member = fields.pop("__id__", None), fields.pop("file", None)
        # The order of a set of text differs from process to process.
        items = sorted(map(self.of, fields.pop("content"))) if fields["__loader__"] == "SetNode" else []
        if member is not None:
            self.members.add(member)
            items.append(hashlib.sha256(self.archive.read(member)).hexdigest())
        found = hashlib.sha256(f"{self._mapping(fields)}{items}".encode()).hexdigest()
        if number is not None and self.digests.setdefault(number, found) != found:
            raise DigestMismatch(f"Two objects of the model have the id {number}.")
        return f"<{found}>"


def verify(path: Path, expected: str) -> None:
    """Check a model file against its digest without loading anything of it.

    :raises DigestMismatch: if its content is not what was trained.
    """
    found = digest(path)
    if found != expected:
        raise DigestMismatch(f"{path.name} has the digest {found[:12]}…, but {expected[:12]}… was trained.")


def load(path: Path, digest: str) -> Pipeline:
    """Load a fitted pipeline whose content must have the given digest.

    :raises DigestMismatch: if it has another one; nothing of the file has been loaded then.
    :raises UntrustedModel: if it holds types outside the allow-list.
    """
    skops_io = _skops_io()
    from skops.io.exceptions import UntrustedTypesFoundException

    verify(path, digest)
    try:
        return skops_io.load(path, trusted=trusted_types())
    except UntrustedTypesFoundException as error:
        raise UntrustedModel(f"{path.name}: {str(error).splitlines()[0]}") from error


def _skops_io() -> Any:
    # When it is imported, skops asks every loaded module for the functions of SciPy, and Airflow's answer a thousand
    # times that this is deprecated.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module("skops.io")


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

    This is what ``mlflow.sklearn.log_model`` does, but by this client rather than by global state.

    :param beside: text of further files among the artifacts, by name.
    :raises UntrustedModel: if the pipeline holds types that :func:`load` would refuse.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    _skops_io()
    import mlflow.sklearn
    from mlflow.entities import LoggedModelOutput
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
                pip_requirements=_requirements(),
                serialization_format="skops",
                skops_trusted_types=trusted_types(),
            )
        except MlflowException as error:
            raise UntrustedModel(f"The model cannot be saved: {error.message}") from error
        found = digest(path / tracking.MODEL_FILE)
        for file, text in (beside or {}).items():
            (path / file).write_bytes(text.encode())
        client.log_model_artifacts(logged.model_id, str(path))
        client.finalize_logged_model(logged.model_id, "READY")
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return Logged(logged.model_id, logged.artifact_location, found)


def _signature(features: Features, task: str) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs: list[Any] = [ColSpec("double", name, required=False) for name in features.numeric]
    inputs += [ColSpec("string", name, required=False) for name in features.categorical]
    return ModelSignature(Schema(inputs), Schema([ColSpec("long" if task == "classification" else "double")]))


def _requirements() -> list[str]:
    # MLflow would otherwise find them by loading the model in another process, which takes seconds.
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("numpy", "pandas", "scikit-learn", "scipy", "skops")]


def download(client: MlflowClient, run_id: str, folder: Path, file: str = tracking.MODEL_FILE) -> Path:
    """Fetch the model file of a training run, or another one beside it, into a folder.

    :raises ModelNotFound: if the run, its model or the file does not exist.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    import mlflow.artifacts

    with tracking.errors(client):
        outputs = client.get_run(run_id).outputs
        if outputs is None or not outputs.model_outputs:
            raise ModelNotFound(f"MLflow run {run_id} has logged no model.")
        model = client.get_logged_model(outputs.model_outputs[-1].model_id)
        found = mlflow.artifacts.download_artifacts(
            f"{model.artifact_location}/{file}",
            dst_path=str(folder),
            tracking_uri=client.tracking_uri,
        )
    return Path(found)


def load_version(client: MlflowClient, ref: ModelRef) -> Pipeline:
    """Load a registered version, digest-verified.

    :raises ModelNotFound: if its run or its file does not exist.
    :raises DigestMismatch: if its content is not what was trained.
    """
    with TemporaryDirectory() as folder:
        return load(download(client, ref.run_id, Path(folder)), ref.digest)


def predict(model: Pipeline, frame: pa.Table | pd.DataFrame, task: str) -> np.ndarray:
    """Predict each row: the probability of the positive class, or the value of a regression.

    :param frame: rows with at least the model's features, of any types that :func:`pipeline.frame` converts.
    :raises SchemaMismatch: if a feature is missing or cannot be converted.
    """
    return predicted(model, pipeline.frame(frame, pipeline.features_of(model)), task)


def predicted(model: Pipeline, frame: pd.DataFrame, task: str) -> np.ndarray:
    """Predict rows that :func:`pipeline.frame` has prepared already; otherwise as :func:`predict`."""
    values: np.ndarray = (
        model.predict_proba(frame)[:, 1] if task == "classification" else model.predict(frame)
    )
    return values
