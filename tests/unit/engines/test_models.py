from __future__ import annotations

import importlib
import json
import os
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from airflow_mlops.domain.results import ModelRef, TrainedModel
from airflow_mlops.engines import models, pipeline
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, RegistryUnavailable, UntrustedModel
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


def make_file(path: Path, value: Any = None) -> Path:
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 2))
    skops.io.dump(LogisticRegression().fit(features, features[:, 0] > 0) if value is None else value, path)
    return path


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write a file again with members that are changed, under the same name in another folder."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    target = path.with_name(f"changed-{path.name}")
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def test_ids_and_dates_do_not_count_in_the_digest(tmp_path: Path) -> None:
    one, two = make_file(tmp_path / "one.skops"), make_file(tmp_path / "two.skops")
    assert one.read_bytes() != two.read_bytes()
    assert models.digest(one) == models.digest(two)


def test_the_order_of_a_set_does_not_count_in_the_digest(tmp_path: Path) -> None:
    # 0 and 8 fall into the same place of a small hash table, so the first to come is the first in the set.
    assert list({0, 8}) != list({8, 0})
    one, two = make_file(tmp_path / "one.skops", {0, 8}), make_file(tmp_path / "two.skops", {8, 0})
    assert models.digest(one) == models.digest(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ([1, 2], [2, 1]),
        ([1], (1,)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.array([1.0]), np.array([1.0 + 1e-15])),
        (np.array(["a"], dtype=object), np.array(["b"], dtype=object)),
        ({"file": 1, "__id__": 2, "__loader__": 3}, {"file": 1, "__id__": 3, "__loader__": 3}),
    ],
)
def test_whatever_loads_as_something_else_has_another_digest(tmp_path: Path, one: Any, two: Any) -> None:
    first, second = make_file(tmp_path / "one.skops", one), make_file(tmp_path / "two.skops", two)
    assert models.digest(first) != models.digest(second)


def test_a_model_with_another_number_in_it_is_refused(tmp_path: Path) -> None:
    path = make_file(tmp_path / "model.skops")

    def change(members: dict[str, bytes]) -> None:
        name = max((name for name in members if name.endswith(".npy")), key=lambda name: len(members[name]))
        members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])

    with pytest.raises(DigestMismatch, match="was trained"):
        models.load(rewrite(path, change), models.digest(path))


def test_a_model_with_a_stray_member_is_refused(tmp_path: Path) -> None:
    path = make_file(tmp_path / "model.skops")
    with pytest.raises(DigestMismatch, match="members that its schema does not name"):
        models.load(rewrite(path, lambda members: members.update(extra=b"")), models.digest(path))


def test_a_model_that_passes_one_object_off_as_another_is_refused(tmp_path: Path) -> None:
    path = make_file(tmp_path / "model.skops", {"first": [1, 2], "second": [3, 4]})

    def change(members: dict[str, bytes]) -> None:
        schema = json.loads(members["schema.json"])
        schema["content"]["second"]["__id__"] = schema["content"]["first"]["__id__"]
        members["schema.json"] = json.dumps(schema).encode()

    changed = rewrite(path, change)
    assert skops.io.load(changed)["second"] == [1, 2]
    with pytest.raises(DigestMismatch, match="have the id"):
        models.digest(changed)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04]\x94."])
def test_a_torn_file_or_a_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.skops"
    path.write_bytes(content)
    with pytest.raises(DigestMismatch, match=r"model\.skops is no whole skops file"):
        models.load(path, "0" * 64)


def test_a_type_outside_the_allow_list_is_refused_by_name(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(os.path.join), LinearRegression())
    path = make_file(tmp_path / "model.skops", model)
    with pytest.raises(UntrustedModel, match=r"model\.skops.*posixpath\.join"):
        models.load(path, models.digest(path))


def test_every_trusted_type_is_a_type_or_function_of_the_libraries_we_train_with() -> None:
    for name in models.trusted_types():
        module, _, attribute = name.rpartition(".")
        assert name.partition(".")[0] in {"sklearn", "numpy"} or name == "functools.partial"
        assert callable(getattr(importlib.import_module(module), attribute)), name


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
