from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from airflow_mlops.local.airflow import free_port
from airflow_mlops.stores.registry import patience

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    for name in ("MAX_RETRIES", "BACKOFF_FACTOR", "BACKOFF_JITTER"):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", "0")
    seconds: list[float] = []
    monkeypatch.setattr(patience, "sleep", seconds.append)
    return seconds


@contextmanager
def server(*statuses: int) -> Iterator[str]:
    """Answer with these statuses, one after the other, and then with the last one again and again."""
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = left.pop(0) if len(left) > 1 else left[0]
            body = b"{}" if status == 200 else b"busy"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        listening.server_close()


def search(uri: str) -> object:
    return patience.patient(MlflowClient(uri, uri)).search_experiments()


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_does_not_reach_mlflow_is_an_outage_like_any_other(
    status: int, waited: list[float]
) -> None:
    with server(status, status, 200) as uri:
        assert search(uri) == []
    assert waited == [15, 30]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_an_answer_that_says_no_is_not_waited_for(status: int, waited: list[float]) -> None:
    with server(status) as uri, pytest.raises(MlflowException):
        search(uri)
    assert waited == []


def test_refused_connections_are_outlasted_once_and_the_next_call_of_the_same_outage_fails_at_once(
    waited: list[float],
) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    client = patience.patient(MlflowClient(uri, uri))
    for _ in range(2):
        with pytest.raises(MlflowException):
            client.search_experiments()
    assert waited == list(patience.WAITS)
    assert client.tracking_uri == uri


def test_a_database_behind_mlflow_that_is_away_is_an_outage_and_a_conflict_in_it_is_none() -> None:
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, TEMPORARILY_UNAVAILABLE

    assert patience.is_away(MlflowException("connection refused", TEMPORARILY_UNAVAILABLE))
    assert not patience.is_away(MlflowException("exists", RESOURCE_ALREADY_EXISTS))
    assert not patience.is_away(ValueError("not MLflow's"))
