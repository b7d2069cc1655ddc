"""A model whose artifacts somebody has changed is refused, and nothing of what they hold is run."""

from __future__ import annotations

import shutil
import sys
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import mlflow.sklearn
import pytest
from mlflow import MlflowClient

from airflow_mlops.exceptions import DigestMismatch
from airflow_mlops.learning.models import models
from airflow_mlops.stores.registry import registry, tracking
from faults.stories import Story
from registry_builders import make_ref, make_version
from synthetic import make_client

MODEL = tracking.MODEL_FILE


def opening(canary: Path) -> bytes:
    """Return a pickle that makes a file when it is loaded."""
    return f"cbuiltins\nopen\n(V{canary}\nVw\ntR.".encode()


def a_flipped_byte(place: Path, _: Path) -> None:
    content = bytearray((place / MODEL).read_bytes())
    content[len(content) // 2] ^= 1
    (place / MODEL).write_bytes(content)


def a_pickle_in_its_place(place: Path, canary: Path) -> None:
    (place / MODEL).write_bytes(opening(canary))


def a_pickle_in_it(place: Path, canary: Path) -> None:
    with zipfile.ZipFile(place / MODEL, "a") as archive:
        archive.writestr("model.pkl", opening(canary))


def a_pickle_beside_it(place: Path, canary: Path) -> None:
    (place / "model.pkl").write_bytes(opening(canary))
    described = (place / "MLmodel").read_text().replace(MODEL, "model.pkl").replace(": skops", ": pickle")
    (place / "MLmodel").write_text(described)


def code_beside_it(place: Path, canary: Path) -> None:
    (place / "code").mkdir()
    (place / "code" / "stowaway.py").write_text(
        f"open({str(canary)!r}, 'w').close()\n_load_pyfunc = predict = lambda *_: __import__(__name__)\n"
    )
    described = (place / "MLmodel").read_text()
    described = described.replace("loader_module: mlflow.sklearn", "code: code\n    loader_module: stowaway")
    (place / "MLmodel").write_text(described)


def a_member_that_leads_out_of_it(place: Path, canary: Path) -> None:
    with zipfile.ZipFile(place / MODEL, "a") as archive:
        archive.writestr(f"../../../../../../{canary}", b"")


def a_schema_that_leads_out_of_it(place: Path, canary: Path) -> None:
    with zipfile.ZipFile(place / MODEL) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith(".npy"))
    members["schema.json"] = members["schema.json"].replace(name.encode(), f"../../{canary.name}".encode())
    members[f"../../{canary.name}"] = members.pop(name)
    with zipfile.ZipFile(place / MODEL, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def a_folder_in_its_place(place: Path, canary: Path) -> None:
    (place / MODEL).unlink()
    (place / MODEL).mkdir()
    (place / MODEL / "model.pkl").write_bytes(opening(canary))


TAMPERINGS = [
    a_flipped_byte, a_pickle_in_its_place, a_pickle_in_it, a_pickle_beside_it, code_beside_it,
    a_member_that_leads_out_of_it, a_schema_that_leads_out_of_it, a_folder_in_its_place,
]  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    return make_client(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def story(client: MlflowClient, tmp_path: Path, request: pytest.FixtureRequest) -> Story:
    return Story(client, f"flights_{abs(hash(request.node.name))}", tmp_path)


def place_of(story: Story, run_id: str) -> Path:
    found = story.client.get_logged_model(tracking.outputs(story.client, run_id)[-1]).artifact_location
    return Path(found.removeprefix("file://"))


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_a_model_that_was_tampered_with_is_neither_loaded_nor_promoted(
    story: Story, tmp_path: Path, tamper: Callable[[Path, Path], None]
) -> None:
    canary, client = tmp_path / "canary", story.client
    two = make_version(client, story.model, 0.1)
    assert story.promote(client, story.one, key="first").after == "1"
    assert story.promote(client, two, story.one, key="second").after == "2"
    tamper(place_of(story, story.one.run_id), canary)
    with pytest.raises(DigestMismatch):
        models.load_version(client, make_ref(story.one))
    with pytest.raises(DigestMismatch):
        story.promote(client, story.one, two, key="third")
    assert registry.champion_version(client, story.model) == "2"
    assert not canary.exists()


def test_a_champion_that_was_opened_in_a_notebook_goes_on_serving(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.promote(story.client, story.one, key="first")
    # Not mlflow.set_tracking_uri, which would hold for every test after this one.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", story.client.tracking_uri)
    mlflow.sklearn.load_model(f"models:/{story.model}@champion")
    place = place_of(story, story.one.run_id)
    assert (place / "registered_model_meta").is_file()  # MLflow has left it
    models.load_version(story.client, make_ref(story.one))
    (place / "registered_model_meta").unlink()
    (place / "registered_model_meta").mkdir()
    with pytest.raises(DigestMismatch, match="training has not stored: registered_model_meta"):
        models.load_version(story.client, make_ref(story.one))


@pytest.mark.slow
def test_a_pickle_in_a_models_place_is_refused_by_the_fresh_process_too(story: Story, tmp_path: Path) -> None:
    canary, client = tmp_path / "canary", story.client
    two = make_version(client, story.model, 0.1)
    story.promote(client, story.one, key="first")
    story.promote(client, two, story.one, key="second")
    a_pickle_in_its_place(place_of(story, story.one.run_id), canary)
    with pytest.raises(DigestMismatch, match="no whole skops file"):
        story.rollback(client)
    assert (story.champion, canary.exists()) == ("2", False)


@pytest.mark.parametrize("file", ["requirements.txt", "python_env.yaml"])
def test_a_file_beside_a_model_that_was_changed_is_not_read(story: Story, tmp_path: Path, file: str) -> None:
    assert models.download(story.client, story.one.run_id, tmp_path, file).exists()
    (place_of(story, story.one.run_id) / file).write_text("stowaway==1.0\n")
    with pytest.raises(DigestMismatch, match=f"{file} of MLflow run"):
        models.download(story.client, story.one.run_id, tmp_path, file)


def test_the_canary_sings_where_such_a_model_is_loaded_as_it_says(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.pyfunc

    canary = tmp_path / "canary"
    import_module("pickle").loads(opening(canary)).close()
    assert canary.exists()
    canary.unlink()
    copied = Path(shutil.copytree(place_of(story, story.one.run_id), tmp_path / "model"))
    code_beside_it(copied, canary)
    monkeypatch.setattr(sys, "path", [*sys.path])
    mlflow.pyfunc.load_model(str(copied))
    monkeypatch.delitem(sys.modules, "stowaway")
    assert canary.exists()
