from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from airflow_mlops.cli.doctor import registry
from airflow_mlops.cli.doctor.diagnosis import Condition
from airflow_mlops.local.airflow import free_port

Configure = Callable[[str, str], None]

pytestmark = pytest.mark.slow  # MLflow's database takes seconds to make


@pytest.fixture(autouse=True)
def _settings_of_mlflow_are_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "MLFLOW_HTTP_REQUEST_TIMEOUT",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
        "MLFLOW_ALLOW_HTTP_REDIRECTS",
    ):
        monkeypatch.setenv(name, os.environ.get(name, "1"))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    client = MlflowClient(uri, uri)
    client.create_registered_model("flights")
    return uri


def test_a_database_that_is_not_there_yet_is_not_made(
    configure: Configure, dags: Path, tmp_path: Path
) -> None:
    configure("tracking_uri", f"sqlite:///{tmp_path}/mlflow.db")
    (diagnosis,) = registry.look()
    assert diagnosis.status is Condition.SKIPPED
    assert f"{tmp_path}/mlflow.db, is not there yet" in diagnosis.observation
    assert not (tmp_path / "mlflow.db").exists()


def test_a_store_takes_a_model_that_is_gone_afterwards(
    configure: Configure, dags: Path, database: str
) -> None:
    configure("tracking_uri", database)
    (diagnosis,) = registry.look()
    assert diagnosis.status is Condition.PASS
    assert "has 1 registered models, and took and removed one more" in diagnosis.observation
    client = MlflowClient(database, database)
    assert [model.name for model in client.search_registered_models()] == ["flights"]
    assert [one.name for one in client.search_experiments(view_type=ViewType.ALL)] == ["Default"]


def test_a_database_that_cannot_be_written_to_is_named(database: str) -> None:
    client = MlflowClient(database, database)
    file = f"file:{database.removeprefix('sqlite:///')}?mode=ro&uri=true"
    closed = MlflowClient(f"sqlite:///{file}", f"sqlite:///{file}")
    assert closed.search_registered_models()
    (diagnosis,) = registry.rights(closed, "the database")
    assert diagnosis.status is Condition.FAIL
    assert "the database can be read, and refuses to register and remove a model" in diagnosis.observation
    assert [model.name for model in client.search_registered_models()] == ["flights"]


def test_an_experiment_that_was_deleted_is_named(
    configure: Configure, spec: Callable[[str], None], database: str, tmp_path: Path
) -> None:
    configure("tracking_uri", database)
    spec("")
    client = MlflowClient(database, database)
    experiment = client.create_experiment("flights", (tmp_path / "artifacts").as_uri())
    assert [diagnosis.status for diagnosis in registry.look()] == [Condition.PASS, Condition.PASS]
    client.delete_experiment(experiment)
    _, diagnosis = registry.look()
    assert diagnosis.status is Condition.FAIL
    assert diagnosis.observation == "The experiment 'flights' is deleted"


def test_artifacts_are_written_read_and_removed_where_experiments_keep_theirs(
    database: str, tmp_path: Path
) -> None:
    client = MlflowClient(database, database)
    (tmp_path / "file").touch()
    client.create_experiment("kept", (tmp_path / "artifacts" / "kept").as_uri())
    client.create_experiment("lost", (tmp_path / "file" / "lost").as_uri())
    kept, lost = registry.artifacts(client, database, ["kept", "lost", "unknown"])
    assert kept.status is Condition.PASS
    assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == []
    assert lost.status is Condition.FAIL
    assert lost.observation.startswith(f"file://{tmp_path}/file/lost cannot be used: ")


def test_a_server_that_has_clients_keep_artifacts_on_their_own_disks_is_named(database: str) -> None:
    client = MlflowClient(database, database)
    client.create_experiment("on disk", "/mlruns/1")
    (diagnosis,) = registry.artifacts(client, "http://mlflow.example.com", ["on disk"])
    assert diagnosis.status is Condition.WARN
    assert "keep artifacts in /mlruns/1, a folder of whichever machine they run on" in diagnosis.observation


def test_a_server_that_is_away_and_a_connection_that_is_missing_are_named(
    configure: Configure, dags: Path
) -> None:
    configure("tracking_uri", f"http://127.0.0.1:{free_port()}")
    (diagnosis,) = registry.look()
    assert diagnosis.status is Condition.FAIL
    assert "refused" in diagnosis.observation
    configure("mlflow_conn_id", "mlflow_production")
    (diagnosis,) = registry.look()
    assert diagnosis.status is Condition.FAIL
    assert "'mlflow_production' does not exist" in diagnosis.observation


class Refuses(BaseHTTPRequestHandler):
    """A server of another version that lets nobody in."""

    def do_GET(self) -> None:
        is_version = self.path == "/version"
        self.send_response(200 if is_version else 401)
        self.end_headers()
        self.wfile.write(b"2.9.0" if is_version else b"You are not authenticated.")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stranger(request: pytest.FixtureRequest) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), getattr(request, "param", Refuses))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def test_a_wrong_password_is_named_and_not_shown(
    configure: Configure, dags: Path, stranger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", f"http://ada:hunter2-secret@{stranger}/http")
    (diagnosis,) = registry.look()
    assert diagnosis.status is Condition.FAIL
    assert "401" in diagnosis.observation
    assert "hunter2" not in str(diagnosis)


class Reads(Refuses):
    """A server that lets a user read, and neither register nor remove."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"registered_models": []}')

    def do_POST(self) -> None:
        self.send_response(403)
        self.end_headers()
        self.wfile.write(b"Permission denied")


@pytest.mark.parametrize("stranger", [Reads], indirect=True)
def test_a_user_without_the_right_to_register_is_named(
    dags: Path, stranger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(f"http://{stranger}", f"http://{stranger}")
    (diagnosis,) = registry.rights(client, stranger)
    assert diagnosis.status is Condition.FAIL
    assert f"{stranger} can be read, and refuses to register and remove a model" in diagnosis.observation
    assert "403" in diagnosis.observation


def test_a_server_of_another_version_is_named(stranger: str) -> None:
    (diagnosis,) = registry._release(f"http://{stranger}")
    assert diagnosis.status is Condition.WARN
    assert diagnosis.observation.startswith("The server is 2.9.0, and the client here 3.")
