"""The whole doctor, as a process, on a deployment with several traps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mlops.local.airflow import free_port

pytestmark = pytest.mark.slow

RUN = "from airflow_mlops.cli.main import main; main(['doctor', *{words!r}])"


def doctor(home: Path, *words: str, **settings: str) -> tuple[int, str]:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        **settings,
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(words=words)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    return done.returncode, done.stdout


def test_every_trap_of_a_deployment_is_named_at_once_and_none_hides_another(tmp_path: Path) -> None:
    models = tmp_path / "dags" / "models"
    models.mkdir(parents=True)
    (models / "flights.yaml").write_text(
        "name: flights\ntask: classification\ntarget: late\nkey: [id]\nevent_time: at\npartition: month\n"
        f"source: {{files: '{tmp_path}/data/{{partition}}.csv'}}\nalerts: {{email: [team@example.com]}}\n"
    )
    (tmp_path / "dags" / "broken.py").write_text('"""A DAG for airflow."""\n1 / 0\n')
    code, output = doctor(
        tmp_path,
        "--json",
        AIRFLOW__MLOPS__STORAGE="/data",
        AIRFLOW__MLOPS__TRACKING_URI=f"http://ada:hunter2@127.0.0.1:{free_port()}",
        AIRFLOW__MLOPS__PRELOAD="True",
        AIRFLOW__CORE__EXECUTOR="KubernetesExecutor",
    )
    report = json.loads(output)
    assert code == 1
    assert report["healthy"] is False
    assert "hunter2" not in output
    worst = {}
    for diagnosis in report["diagnoses"]:
        worst.setdefault(diagnosis["check"], []).append(diagnosis["status"])
    assert {name for name, states in worst.items() if "FAIL" in states} == {
        "configuration", "storage", "pages", "MLflow", "connections", "mail", "DAG files", "Airflow's database", "data",
    }  # fmt: skip
    assert worst["preload"] == ["WARN"]
    assert worst["provider"] == ["PASS"]
    assert all(
        diagnosis["fix"] for diagnosis in report["diagnoses"] if diagnosis["status"] in ("WARN", "FAIL")
    )
