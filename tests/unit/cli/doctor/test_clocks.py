from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from airflow_mlops.cli.doctor import clocks
from airflow_mlops.cli.doctor.diagnosis import Condition

Configure = Callable[[str, str], None]


class Late(BaseHTTPRequestHandler):
    """A server whose clock has stopped."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return "Mon, 01 Jun 2026 10:00:00 GMT"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def late() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Late)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def test_clocks_of_database_and_disk_are_read(configure: Configure, tmp_path: Path) -> None:
    configure("storage", tmp_path.as_uri())
    (diagnosis,) = clocks.look()
    assert diagnosis.status is Condition.PASS
    assert diagnosis.observation.endswith("of Airflow's database, the storage")
    assert list(tmp_path.iterdir()) == []


def test_servers_with_other_clocks_are_named(
    configure: Configure, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure("storage", "s3://bucket/mlops")
    configure("tracking_uri", late)
    monkeypatch.setenv("AWS_ENDPOINT_URL", late)
    storage, mlflow = clocks.look()
    assert (storage.status, mlflow.status) == (Condition.FAIL, Condition.FAIL)
    assert "The clock of the storage is" in storage.observation
    assert "The clock of MLflow is" in mlflow.observation


def test_a_minute_is_the_limit() -> None:
    assert [diagnosis.status for diagnosis in clocks.compare({"x": 59.0, "y": -59.0})] == [Condition.PASS]
    (diagnosis,) = clocks.compare({"x": 1.0, "y": -61.0})
    assert diagnosis.observation == "The clock of y is 61 s behind this machine's"
    assert [diagnosis.status for diagnosis in clocks.compare({})] == [Condition.SKIPPED]


def test_a_spec_without_a_zone_in_a_deployment_with_one_is_named() -> None:
    assert [diagnosis.status for diagnosis in clocks.compare_zones("utc", {"a": "UTC"})] == [Condition.PASS]
    assert [diagnosis.status for diagnosis in clocks.compare_zones("utc", {"a": "Asia/Tokyo"})] == [
        Condition.PASS
    ]
    (diagnosis,) = clocks.compare_zones("Europe/Berlin", {"a": "UTC", "b": "Europe/Berlin"})
    assert diagnosis.status is Condition.WARN
    assert "the partitions of a begin at midnight UTC" in diagnosis.observation
    assert [diagnosis.status for diagnosis in clocks.compare_zones("utc", {})] == [Condition.SKIPPED]
