from __future__ import annotations

import json
import multiprocessing
import os
import traceback
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any
from unittest import mock

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException

import full_disk
from airflow_mlops import config
from airflow_mlops.exceptions import RegistryUnavailable, SettingRefused, StoreUnavailable
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.stores.registry import tracking

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path) -> Iterator[None]:
    # MLflow takes its settings from the environment, where the hook leaves them.
    settings = {
        "AIRFLOW__MLOPS__STORAGE": f"file://{tmp_path}",
        "AIRFLOW__MLOPS__TRACKING_URI": f"sqlite:///{tmp_path}/new/mlflow.db",
    }
    with mock.patch.dict(os.environ, settings):
        for option in (config.storage, config.tracking_uri, config.mlflow_conn_id):
            option.cache_clear()
        yield
    for option in (config.storage, config.tracking_uri, config.mlflow_conn_id):
        option.cache_clear()


def connect(conn_id: str = "mlflow_default", **fields: Any) -> MlflowHook:
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps({"conn_type": "mlflow", **fields})
    return MlflowHook(conn_id)


@contextmanager
def server(status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """An HTTP server that answers like MLflow, and keeps the credentials that it is sent."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            seen.append(self.headers.get("Authorization", "none"))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = (
                b'{"experiments": []}'
                if status == 200
                else b'{"error_code": "PERMISSION_DENIED", "message": "no"}'
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *_: Any) -> None:
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", seen
    finally:
        listening.shutdown()
        listening.server_close()


def test_without_the_default_connection_the_configured_store_is_made_and_used(tmp_path: Path) -> None:
    hook = MlflowHook()
    client = hook.get_conn()
    client.create_experiment("flights", artifact_location=hook.artifact_location("flights"))
    experiment = client.get_experiment_by_name("flights")
    assert client.tracking_uri == config.tracking_uri()
    assert (tmp_path / "new" / "mlflow.db").exists()
    assert experiment is not None
    assert experiment.artifact_location == f"file://{tmp_path}/artifacts/flights"
    assert client.search_registered_models() == []


def test_a_named_connection_must_exist_for_a_typing_error_must_not_hide_the_champion() -> None:
    with pytest.raises(AirflowNotFoundException, match="mlflow_prodution"):
        MlflowHook("mlflow_prodution").get_conn()


@pytest.mark.parametrize(
    ("fields", "uri"),
    [
        ({"host": "mlflow.example.com"}, "https://mlflow.example.com"),
        ({"host": "mlflow", "port": 5000, "schema": "http"}, "http://mlflow:5000"),
        ({"host": "https://example.com/mlflow/"}, "https://example.com/mlflow"),
        ({"host": "127.0.0.1", "port": 5000, "conn_type": "http"}, "http://127.0.0.1:5000"),
    ],
)
def test_the_address_is_built_from_the_connection(fields: dict[str, Any], uri: str) -> None:
    hook = connect(**fields)
    assert hook.get_conn().tracking_uri == uri
    assert hook.artifact_location("flights") is None  # the server decides


def test_credentials_go_to_the_server_of_their_connection_only() -> None:
    with server() as (mine, seen_by_mine), server() as (other, seen_by_other):
        connect("mine", host=mine, login="ada", password="secret-1").get_conn().search_experiments()
        connect("other", host=other).get_conn().search_experiments()
        connect("mine", host=mine, extra={"token": "secret-2"}).get_conn().search_experiments()
    assert seen_by_mine == [f"Basic {b64encode(b'ada:secret-1').decode()}", "Bearer secret-2"]
    assert seen_by_other == ["none"]


def test_time_limits_are_short_unless_the_connection_or_the_environment_sets_others() -> None:
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "9"
    connect(host="mlflow").get_conn()
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "9"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "20"
    assert os.environ["MLFLOW_ALLOW_HTTP_REDIRECTS"] == "false"
    connect(host="mlflow", extra={"max_retries": 1, "timeout": 5}).get_conn()
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "5"


def test_telemetry_is_off_for_the_process_also_if_it_was_on_when_mlflow_was_imported() -> None:
    from mlflow.telemetry import get_telemetry_client

    del os.environ["MLFLOW_DISABLE_TELEMETRY"]
    connect(host="mlflow").get_conn()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert get_telemetry_client() is None


def test_unknown_extras_and_a_missing_host_are_refused() -> None:
    with pytest.raises(ValueError, match="extra tokn; allowed are token, timeout"):
        connect(host="mlflow", extra={"tokn": "x"}).get_conn()
    with pytest.raises(ValueError, match="'mlflow_default' has no host"):
        connect().get_conn()


def test_the_connection_can_be_tested_and_no_answer_holds_a_secret() -> None:
    with server() as (url, _):
        assert connect(host=url, login="ada", password="secret-3").test_connection() == (
            True,
            "MLflow answers.",
        )
    with server(403) as (url, _):
        works, message = connect(host=url, login="ada", password="secret-3").test_connection()
    assert not works
    assert "403" in message or "no" in message
    assert "secret-3" not in message
    assert MlflowHook("nowhere").test_connection()[0] is False


@pytest.mark.parametrize(
    "host",
    [
        "http://ada:se-cret@127.0.0.1:1",
        "http://ada:se/cret@127.0.0.1:1",
        "foo://ada:se-cret@mlflow/db",
        "postgresql+nope://ada:se-cret@127.0.0.1/mlflow",
        "sqlite://ada:se-cret@mlflow/db",
        "http://ada:se-cret@[bad",
    ],
)
def test_a_password_in_the_host_is_in_no_answer_and_in_no_error(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    works, message = connect(host=host).test_connection()
    assert not works
    assert "cret" not in message
    assert "ada" not in message
    with pytest.raises((RegistryUnavailable, ValueError)) as failed:
        search(connect(host=host))
    assert "cret" not in "".join(traceback.format_exception(failed.value))


@pytest.mark.parametrize(
    ("host", "fix"),
    [
        ("mysql+nope://ada:se-cret@h/db", "nope"),
        ("oracle://ada:se-cret@h/db", "write http:// or https:// of a server"),
        ("mssql+pymssql://ada:se-cret@h/db", "'pymssql' is not installed.*name another driver"),
        ("postgresql://ada:se-cret@127.0.0.1:99999999/db", "host: .*its port is no whole number"),
        ("http://ada:se-cret@h:abc", "host: .*its port is no whole number"),
        ("http://", "host: .*names no host|has no host"),
        ("sqlite://", "names no file|has no host|no host"),
    ],
)
def test_an_address_that_can_never_work_is_refused_at_once_and_says_what_to_write(
    host: str, fix: str
) -> None:
    with pytest.raises(SettingRefused, match=fix) as refused:
        connect(host=host).get_conn()
    assert connect(host=host).test_connection() == (False, str(refused.value))
    assert "cret" not in "".join(traceback.format_exception(refused.value))


def search(hook: MlflowHook) -> None:
    client = hook.get_conn()
    with tracking.errors(client):
        client.search_experiments()


def test_the_password_is_masked_before_anything_can_log_it() -> None:
    from airflow.sdk.log import redact

    connect(host="mlflow", login="ada", password="secret-4", extra={"token": "secret-5"}).get_conn()
    assert redact("sent secret-4 and secret-5") == "sent *** and ***"


def test_a_database_that_is_made_on_a_full_disk_says_so(tmp_path: Path) -> None:
    with full_disk.disk(tmp_path / "disk") as disk, full_disk.full(disk):
        address = f"sqlite:///{disk}/mlflow.db"
        with mock.patch.dict(os.environ, {"AIRFLOW__MLOPS__TRACKING_URI": address}):
            config.tracking_uri.cache_clear()
            with pytest.raises(StoreUnavailable) as raised:
                MlflowHook().get_conn()
    assert str(raised.value).startswith(
        f"MLflow's database at {address} cannot be used: the disk is full (No space left on device)."
    )


def test_a_database_that_is_down_is_told_at_once_and_may_be_tried_again() -> None:
    address = "postgresql+psycopg2://ada:secret-6@127.0.0.1:9/mlflow"
    with mock.patch.dict(os.environ, {"AIRFLOW__MLOPS__TRACKING_URI": address}):
        config.tracking_uri.cache_clear()
        begun = monotonic()
        with pytest.raises(RegistryUnavailable, match="database cannot be opened") as raised:
            MlflowHook().get_conn()
    # MLflow itself tries for 102 s.
    assert monotonic() - begun < 30
    assert "secret-6" not in "".join(traceback.format_exception(raised.value))


def first_look(barrier: Any) -> int:
    barrier.wait()
    return len(MlflowHook().get_conn().search_registered_models())


@pytest.mark.slow
def test_processes_that_open_a_new_database_at_once_do_not_undo_each_other() -> None:
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - not four times

    forked = multiprocessing.get_context("fork")
    with forked.Manager() as manager, ProcessPoolExecutor(4, forked) as pool:
        barrier = manager.Barrier(4)
        assert [*pool.map(first_look, [barrier] * 4)] == [0] * 4
