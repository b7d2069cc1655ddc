from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from mlflow import MlflowClient

from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, RegistryUnavailable
from airflow_mlops.local.airflow import free_port
from airflow_mlops.stores.registry import registry, tracking
from faults.server import running
from registry_builders import make_dataset, make_ref, make_rows, make_version
from synthetic import make_client

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    return make_client(tmp_path_factory.mktemp("mlflow"))


def test_a_model_that_mlflow_does_not_know_has_no_champion(client: MlflowClient) -> None:
    assert registry.champion_version(client, "nobody") is None


def test_a_version_becomes_champion_and_is_none_again_once_it_is_deleted(client: MlflowClient) -> None:
    trained = make_version(client, "flights")
    assert registry.champion_version(client, "flights") is None
    registry.set_champion(client, "flights", trained.version)
    assert registry.champion_version(client, "flights") == trained.version
    client.delete_model_version("flights", trained.version)
    assert registry.champion_version(client, "flights") is None


@pytest.mark.parametrize(
    ("number", "as_shown"),
    [
        ("9", "'9'"), ("latest", "'latest'"), ("", "''"), ("-1", "'-1'"), ("²", "'²'"), (str(2**63), f"'{2**63}'"),
        ("9" * 5000, f"'{'9' * 20}…'"),
    ],
    ids=["absent", "a word", "nothing", "negative", "a power", "64 bits", "5000 digits"],
)  # fmt: skip
def test_an_unknown_version_fails_with_those_that_exist(
    client: MlflowClient, number: str, as_shown: str
) -> None:
    if registry.champion_version(client, "two") is None:
        registry.set_champion(client, "two", make_version(client, "two").version)
        make_version(client, "two", 0.1)
    with pytest.raises(ModelNotFound, match=f"no version {as_shown}; it has 1, 2"):
        registry.version(client, "two", number)


def test_a_version_of_an_unknown_model_fails_without_any(client: MlflowClient) -> None:
    with pytest.raises(ModelNotFound, match="'nobody' has no version '1'; it has none"):
        registry.version(client, "nobody", "1")


def test_a_version_that_was_registered_by_hand_cannot_be_verified(
    client: MlflowClient, tmp_path: Path
) -> None:
    client.create_registered_model("manual")
    client.create_model_version("manual", tmp_path.as_uri())
    with pytest.raises(DigestMismatch, match="Version 1 of 'manual'"):
        registry.version(client, "manual", "1")


def test_what_a_version_was_trained_on_is_read_back(client: MlflowClient) -> None:
    trained = make_version(client, "trained")
    tracking.log_metrics(client, trained.run_id, "holdout", {"roc_auc": 0.75})
    found = registry.training(client, make_ref(trained))
    assert found.dataset == make_dataset(make_rows())
    assert found.split == trained.split
    assert found.features.numeric == ("x",)
    assert found.task == "classification"
    assert found.metrics == {"roc_auc": 0.75}


@contextmanager
def answering(status: int, body: bytes) -> Iterator[MlflowClient]:
    """A server on which no MLflow runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    uri = f"http://127.0.0.1:{server.server_port}"
    try:
        yield MlflowClient(uri, uri)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"<html>not here</html>"),
        (404, b'{"detail": "Not Found"}'),
        (400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "Registered model alias x not found."}'),
        (401, b"You are not authenticated"),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}'),
        (500, b"broken"),
        (200, b"<html>please log in</html>"),
        (200, b"{}"),
    ],
)
def test_an_answer_that_is_not_about_the_model_never_means_that_there_is_no_champion(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with answering(status, body) as client, pytest.raises(RegistryUnavailable):
        registry.champion_version(client, "flights")


def test_a_server_that_is_not_there_never_means_that_there_is_no_champion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(RegistryUnavailable):
        registry.champion_version(MlflowClient(uri, uri), "flights")


def test_a_damaged_database_never_means_that_there_is_no_champion(tmp_path: Path) -> None:
    client = make_client(tmp_path)
    assert registry.champion_version(client, "flights") is None
    (tmp_path / "mlflow.db").write_text("not a database" * 1000)
    with pytest.raises(RegistryUnavailable, match="not a database"):
        registry.champion_version(client, "flights")


@pytest.mark.slow
def test_a_server_says_the_same_as_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with running(tmp_path) as server:
        client = MlflowClient(server.uri, server.uri)
        assert registry.champion_version(client, "flights") is None
        trained = make_version(client, "flights")
        assert registry.champion_version(client, "flights") is None
        with pytest.raises(ModelNotFound, match="no version '9'; it has 1"):
            registry.version(client, "flights", "9")
        with pytest.raises(ModelNotFound):
            registry.set_champion(client, "flights", "9")
        registry.set_champion(client, "flights", trained.version)
        assert registry.champion_version(client, "flights") == trained.version
        assert registry.version(client, "flights", trained.version) == make_ref(trained)
        assert registry.training(client, make_ref(trained)).split == trained.split
    with pytest.raises(RegistryUnavailable):
        registry.champion_version(client, "flights")
