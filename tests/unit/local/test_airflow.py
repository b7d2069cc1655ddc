from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import httpx
import pytest

from airflow_mlops.local import demo, home
from airflow_mlops.local.airflow import LocalAirflow, LocalAirflowError, free_port
from airflow_mlops.local.catch_up import CatchUp
from history import month

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

# Stands in for the `airflow` command: a real Airflow takes half a minute, and the end-to-end test has one.
COMMAND = """
import os, pathlib, subprocess, sys, time
part = sys.argv[1]
if pathlib.Path(f"fails-{part}").exists():
    print(f"{part} has no heart")
    sys.exit(3)
if part != "db":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pathlib.Path(f"{part}.tmp").write_text(f"{os.getpid()} {child.pid}")
    os.replace(f"{part}.tmp", f"{part}.pids")
    time.sleep(600)
"""

DRIVER = """
import sys, time
from pathlib import Path
from airflow_mlops.local.airflow import LocalAirflow
home = Path(sys.argv[1])
airflow = LocalAirflow(home, home)
(home / "logs").mkdir()
airflow._start("scheduler", ["scheduler"])
time.sleep(600)
"""


def make_home(folder: Path, *failing: str) -> Path:
    """Make a home in which ``python -m airflow`` is the stand-in."""
    home = folder / "home"
    (home / "airflow").mkdir(parents=True)
    (home / "airflow/__init__.py").touch()
    (home / "airflow/__main__.py").write_text(COMMAND)
    for part in failing:
        (home / f"fails-{part}").touch()
    return home


def eventually(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return answer


def pids(home: Path) -> list[int]:
    return [int(pid) for file in home.glob("*.pids") for pid in file.read_text().split()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # What has ended stays in the table of processes until its parent asks for it.
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_port_in_use_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        airflow = LocalAirflow(tmp_path / "home", tmp_path, port=port)
        with pytest.raises(LocalAirflowError, match=f"Port {port} of 127.0.0.1 is in use"), airflow:
            pass
    assert list((tmp_path / "home").iterdir()) == []


def test_a_full_disk_is_refused_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**10, 10**10, 2 * 10**8))
    airflow = LocalAirflow(tmp_path / "home", tmp_path)
    with pytest.raises(LocalAirflowError, match=r"too full: 1 GB is needed, 0\.2 GB are free"), airflow:
        pass
    assert list((tmp_path / "home").iterdir()) == []


def test_a_command_that_fails_is_told_with_the_end_of_what_it_said(tmp_path: Path) -> None:
    airflow = LocalAirflow(make_home(tmp_path, "db"), tmp_path)
    with pytest.raises(LocalAirflowError, match="airflow db migrate failed:\ndb has no heart"), airflow:
        pass


def test_a_process_that_ends_takes_the_others_with_it_and_its_log_is_told(tmp_path: Path) -> None:
    home = make_home(tmp_path, "triggerer")
    airflow = LocalAirflow(home, tmp_path)
    with (
        pytest.raises(LocalAirflowError, match=r"triggerer ended with code 3\. (.|\n)*has no heart"),
        airflow,
    ):
        pass
    assert airflow.processes == {}
    eventually(lambda: not any(alive(pid) for pid in pids(home)))


def test_stopping_ends_processes_and_their_children(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    airflow = LocalAirflow(home, tmp_path)
    (home / "logs").mkdir()
    try:
        for name in ("scheduler", "triggerer"):
            airflow._start(name, [name])
        started = eventually(lambda: (found := pids(home)) and len(found) == 4 and found)
        assert all(alive(pid) for pid in started)
    finally:
        airflow.stop()
    eventually(lambda: not any(alive(pid) for pid in started))


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is of Linux")
def test_processes_end_also_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(home)])
    try:
        leader, child = eventually(lambda: pids(home))
        driver.send_signal(signal.SIGKILL)
        driver.wait(60)
        eventually(lambda: not alive(leader))
    finally:
        driver.kill()
    # Of the stand-in; Airflow's own processes pass the signal on.
    os.kill(child, signal.SIGKILL)


def test_a_wait_in_vain_names_what_was_waited_for_and_where_the_logs_are(tmp_path: Path) -> None:
    airflow = LocalAirflow(tmp_path, tmp_path)
    with pytest.raises(LocalAirflowError, match=f"Waited 0 s in vain for Godot; logs are in {tmp_path}/logs"):
        airflow.wait(lambda: None, "Godot", seconds=0, interval=0.01)
    assert airflow.wait(lambda: 7, "seven", seconds=0) == 7


def test_an_error_of_the_api_is_told_with_what_it_said(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, text=json.dumps({"detail": f"no {request.url.path}"}))

    airflow = LocalAirflow(tmp_path, tmp_path)
    airflow._client = httpx.Client(base_url=airflow.url, transport=httpx.MockTransport(answer))
    with pytest.raises(LocalAirflowError, match=r"GET dags answered 404: .*no /api/v2/dags"):
        airflow.call("GET", "dags")


def test_settings_of_the_surrounding_deployment_do_not_reach_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "theirs")
    monkeypatch.setenv("AIRFLOW__MLOPS__STORAGE", "s3://theirs")
    port = free_port()
    airflow = LocalAirflow(
        tmp_path, tmp_path / "dags", port=port, settings={"AIRFLOW__MLOPS__PRELOAD": "True"}
    )
    assert "AIRFLOW__MLOPS__STORAGE" not in airflow.environment
    assert airflow.environment["AIRFLOW__CORE__FERNET_KEY"] == ""
    assert airflow.environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert airflow.environment["AIRFLOW__MLOPS__PRELOAD"] == "True"
    assert airflow.url == f"http://127.0.0.1:{port}"


def test_a_shell_finds_this_airflow_by_what_it_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_SECRET", "theirs")
    ours = {"AIRFLOW__MLOPS__STORAGE": "file:///it's $HOME", "AIRFLOW_CONN_MAIL": "smtp://localhost"}
    airflow = LocalAirflow(tmp_path, tmp_path / "dags", settings={**ours, "AIRFLOW_VAR_SECRET": "theirs"})
    assert "AIRFLOW_VAR_SECRET" not in airflow.exports()
    file = home.write_environment(tmp_path, airflow.exports())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    show = f"source {file}; {sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    seen = json.loads(subprocess.run(["bash", "-c", show], env={}, capture_output=True, check=True).stdout)
    own = {name: value for name, value in airflow.settings.items() if name != "AIRFLOW_VAR_SECRET"}
    assert {name: seen.get(name) for name in own} == own
    assert seen["PATH"].split(":")[0] == str(Path(sys.executable).parent)


class SlowApi:
    """An API server that lets the first calls wait for longer than its client does."""

    def __init__(self, slow: int) -> None:
        self.calls: list[str] = []
        self.over = Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                api.calls.append(f"{self.command} {self.path}")
                if len(api.calls) <= slow:
                    api.over.wait(60)
                with contextlib.suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"{}")

            do_GET = do_POST = answer

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @contextmanager
    def airflow(self, folder: Path) -> Iterator[LocalAirflow]:
        airflow = LocalAirflow(folder, folder, port=self.server.server_port)
        airflow._client = httpx.Client(base_url=airflow.url, timeout=0.2)
        try:
            yield airflow
        finally:
            self.over.set()
            self.server.shutdown()
            self.server.server_close()


def test_an_api_that_is_slow_is_asked_again(tmp_path: Path) -> None:
    api = SlowApi(slow=2)
    with api.airflow(tmp_path) as airflow:
        assert airflow.call("GET", "dags") == {}
    assert api.calls == ["GET /api/v2/dags"] * 3


def test_what_changes_something_is_sent_once_and_waited_for(tmp_path: Path) -> None:
    api = SlowApi(slow=1)
    with api.airflow(tmp_path) as airflow:
        Timer(0.5, api.over.set).start()
        assert airflow.call("POST", "backfills") == {}
    assert api.calls == ["POST /api/v2/backfills"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_api_that_never_answers_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr("airflow_mlops.local.api.PATIENCE", 0.3)
    with SlowApi(slow=100).airflow(tmp_path) as airflow, pytest.raises(LocalAirflowError) as failed:
        airflow.call(method, "backfills")
    assert f"did not answer {method} /api/v2/backfills within 0 s (ReadTimeout)" in str(failed.value)
    assert "busy" in str(failed.value)
    assert str(tmp_path / "logs") in str(failed.value)


def test_the_demo_ends_with_a_sentence_if_the_api_never_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def follow(*_: Any) -> int:
        with SlowApi(slow=100).airflow(tmp_path) as airflow:
            CatchUp(airflow, "flights", month("2013-01"), month("2013-02")).states()
        return 0

    monkeypatch.setattr("airflow_mlops.local.api.PATIENCE", 0.3)
    monkeypatch.setattr(demo, "_run", follow)
    assert demo.main([]) == 1
    said = capsys.readouterr().out
    assert "The demo could not go on." in said
    assert "did not answer" in said
    assert "Traceback" not in said
