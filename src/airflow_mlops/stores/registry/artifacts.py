"""Files of a run: reading and writing them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow_mlops.stores.registry import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient


def read(client: MlflowClient, run_id: str, path: str) -> bytes | None:
    """Return the content of a file; None if the run has none at that path.

    :raises ModelNotFound: if there is no such run.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    folder = path.rpartition("/")[0] or None
    with tracking.errors(client), TemporaryDirectory() as place:
        # Each kind of artifact store fails in another way if the file to download is missing.
        if all(file.path != path for file in client.list_artifacts(run_id, folder)):
            return None
        return Path(client.download_artifacts(run_id, path, place)).read_bytes()


def read_folder(client: MlflowClient, run_id: str, folder: str) -> dict[str, bytes]:
    """Return the content of each file that is directly in a folder, by its path; none if the run has no such folder.

    :raises ModelNotFound: if there is no such run.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    with tracking.errors(client), TemporaryDirectory() as place:
        if not client.list_artifacts(run_id, folder):
            return {}
        files = Path(client.download_artifacts(run_id, folder, place)).iterdir()
        return {f"{folder}/{file.name}": file.read_bytes() for file in files if file.is_file()}


def download(client: MlflowClient, run_id: str, path: str, place: Path) -> Path:
    """Download a file, which must exist, into a local folder, and return its path there.

    :raises ModelNotFound: if there is no such run, or no such file.
    :raises RegistryUnavailable: if MLflow does not answer; some artifact stores fail like that without the file, too.
    """
    with tracking.errors(client):
        return Path(client.download_artifacts(run_id, path, str(place)))


def write(client: MlflowClient, run_id: str, path: str, content: bytes) -> None:
    """Write one file, replacing one at that path.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    folder, _, name = path.rpartition("/")
    with tracking.errors(client), TemporaryDirectory() as place:
        file = Path(place) / name
        file.write_bytes(content)
        client.log_artifact(run_id, str(file), folder or None)


def write_json(client: MlflowClient, run_id: str, path: str, facts: Mapping[str, Any]) -> None:
    """Write facts as JSON, in the form that MLflow's own pages show, replacing a file at that path.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    with tracking.errors(client):
        client.log_dict(run_id, dict(facts), path)


def write_folder(
    client: MlflowClient, run_id: str, contents: Mapping[str, bytes], folder: str | None = None
) -> None:
    """Write several files in one go.

    :param contents: content of each file, by its name.
    :param folder: folder of the artifacts; None means the top folder.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    with tracking.errors(client), TemporaryDirectory() as place:
        for name, content in contents.items():
            (Path(place) / name).write_bytes(content)
        client.log_artifacts(run_id, place, folder)
