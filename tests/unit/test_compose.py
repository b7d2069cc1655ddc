"""What docker-compose.yml starts, read as it stands: nobody has Docker in the tests."""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from airflow.configuration import conf
from airflow.sdk import Connection

from airflow_mlops.domain.spec.model import ModelSpec

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
AIRFLOW = [name for name in SERVICES if name.startswith("airflow-")]
IMAGE: str = COMPOSE["x-airflow"]["build"]["dockerfile_inline"]


def test_every_airflow_process_waits_passively_links_by_its_address_and_takes_a_bucket() -> None:
    for name in AIRFLOW:
        environment = SERVICES[name]["environment"]
        assert environment["OMP_WAIT_POLICY"] == "PASSIVE", name
        assert environment["AIRFLOW__API__BASE_URL"] == "${AIRFLOW_URL:-http://127.0.0.1:8080}", name
        assert environment["AIRFLOW__MLOPS__STORAGE"] == "${MLOPS_STORAGE:-file:///opt/airflow/mlops}", name
        for variable in ("ACCESS_KEY_ID", "ALLOW_HTTP", "ENDPOINT_URL", "REGION", "SECRET_ACCESS_KEY"):
            # None passes a variable on; an empty text would be an empty password.
            assert environment[f"AWS_{variable}"] is None, (name, variable)


def test_each_option_that_is_set_is_one_of_airflow() -> None:
    for name in AIRFLOW:
        for variable in SERVICES[name]["environment"]:
            if variable.startswith("AIRFLOW__"):
                _, section, option = variable.lower().split("__")
                # Options without a default are described all the same; Celery's come with its provider.
                described = conf.configuration_description.get(section, {}).get("options", {})
                assert option in described or section == "celery", variable


def test_the_image_has_the_extras_that_its_services_use_and_openmp() -> None:
    for extra in ("boosting", "celery", "demo", "s3", "server"):
        assert extra in IMAGE.partition("/build[")[2].partition("]")[0].split(","), extra
    assert "libgomp1" in IMAGE


def test_no_health_check_starts_airflow() -> None:
    for name, service in SERVICES.items():
        check = service.get("healthcheck", {}).get("test", [])
        assert not {"airflow", "celery"} & set(check[1:2]), name
        assert not any("import airflow" in word or "from airflow" in word for word in check), name
    unchecked = {name for name, service in SERVICES.items() if "healthcheck" not in service}
    assert unchecked == {"airflow-init", "mail"}


@pytest.mark.parametrize("name", ["airflow-triggerer", "airflow-dag-processor"])
@pytest.mark.parametrize("status", ["healthy", "unhealthy", None])
def test_a_heartbeat_is_asked_of_the_api_server(name: str, status: str | None) -> None:
    _, python, flag, program, component = SERVICES[name]["healthcheck"]["test"]
    assert (python, flag) == ("python", "-c")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/api/v2/monitor/health"
            self.send_response(200)
            self.end_headers()
            others = dict.fromkeys(("scheduler", "triggerer", "dag_processor"), {"status": "healthy"})
            self.wfile.write(json.dumps({**others, component: {"status": status}}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        here = program.replace("airflow-api-server:8080", f"127.0.0.1:{server.server_port}")
        done = subprocess.run([sys.executable, "-c", here, component], check=False)
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == (status != "healthy")


def test_the_check_of_a_worker_asks_that_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = SERVICES["airflow-worker"]["healthcheck"]["test"][-1]
    # Celery itself is an extra that the tests do not have.
    (tmp_path / "celery.py").write_text(
        "class Celery:\n"
        "    def __init__(self, broker): self.control = self; print(broker)\n"
        "    def ping(self, destination, timeout, limit): print(*destination); return []\n"
    )
    environment = os.environ | {"AIRFLOW__CELERY__BROKER_URL": "redis://redis", "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout.split() == ["redis://redis", f"celery@{socket.gethostname()}"]


def test_what_the_pack_has_to_say_goes_to_the_mail_catcher(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"source": "flight-delays", "target": "/opt/airflow/dags/flight_delays.py"} in SERVICES[
        "airflow-dag-processor"
    ]["configs"]
    for name in AIRFLOW:
        connection = Connection.from_json(SERVICES[name]["environment"]["AIRFLOW_CONN_SMTP_DEFAULT"])
        assert (connection.host, connection.port) == ("mail", 1025), name
    monkeypatch.syspath_prepend(str(ROOT / "dags"))
    built: list[ModelSpec] = []
    monkeypatch.setattr(
        importlib.import_module("airflow_mlops"), "continuous_training", built.append, raising=False
    )
    program = COMPOSE["configs"]["flight-delays"]["content"]
    file = str(ROOT / "dags" / "flight_delays.py")
    exec(compile(program, file, "exec"), {"__file__": file})  # noqa: S102
    [spec] = built
    assert spec.alerts.email == ("operations@example.com",)
    original = ModelSpec.load(ROOT / "dags" / "models" / "flight_delays.yaml")
    assert spec.model_copy(update={"alerts": original.alerts}).to_dict() == original.to_dict()
