from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mlops.cli import main
from airflow_mlops.local import home
from airflow_mlops.local.home import Running


@pytest.fixture(autouse=True)
def _signals_are_as_they_were() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def started(*words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main.main(["start", *words])
    return str(ended.value.code)


def test_without_dag_files_nothing_is_made(tmp_path: Path) -> None:
    assert f"There is no folder {tmp_path}/dags; name that" in started("--dags", str(tmp_path / "dags"))
    assert not list(tmp_path.iterdir())


def test_what_is_running_already_is_named(tmp_path: Path) -> None:
    (dags := tmp_path / "dags").mkdir()
    with home.locked(home.of(dags)):
        assert "is running already, and is starting" in started("--dags", str(dags))
        home.write(home.of(dags), Running("http://127.0.0.1:8080", "admin", "a-password"))
        assert "is running already: http://127.0.0.1:8080  (admin / a-password)" in started(
            "--dags", str(dags)
        )


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    (dags := tmp_path / "dags").mkdir()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"Port {port} of 127.0.0.1 is in use" in started("--dags", str(dags), "--port", str(port))
