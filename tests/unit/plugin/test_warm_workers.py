"""A real Airflow with ``[mlops] preload = True``: who has the libraries, and what links and pages look like in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_mlops.local.airflow import LocalAirflow, free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="loaded libraries are read from /proc"),
]

LIBRARIES = ("pandas", "sklearn", "scipy", "deltalake", "pyarrow")
DAG = """
from __future__ import annotations
import json, os, sys
from pathlib import Path
from airflow.sdk import BaseOperator, DAG, ObjectStoragePath
from airflow_mlops import config
from airflow_mlops.links import MlflowRunLink, ReportLink

class Look(BaseOperator):
    operator_extra_links = (MlflowRunLink(), ReportLink())

    def execute(self, context):
        names = ("mlflow", "great_expectations", "evidently", "sklearn", "deltalake", "airflow_mlops.stages.train.train")
        found = {"loaded": {name: name in sys.modules for name in names}, "parent": os.getppid()}
        path = ObjectStoragePath(config.reports()) / "m" / "p" / "k.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("<html>a report</html>")
        context["ti"].xcom_push(key="report", value="m/p/k.html")
        context["ti"].xcom_push(key="mlflow_run", value="abc")
        out = Path(os.environ["LOOK_OUT"])
        out.with_suffix(".part").write_text(json.dumps(found))
        out.with_suffix(".part").rename(out)

with DAG("look", schedule=None):
    Look(task_id="look")
"""


@contextmanager
def warm_airflow(home: Path, **settings: str) -> Iterator[LocalAirflow]:
    (home / "dags").mkdir()
    (home / "dags" / "look.py").write_text(DAG)
    settings |= {
        "AIRFLOW__MLOPS__PRELOAD": "True",
        "AIRFLOW__MLOPS__MLFLOW_URL": "http://mlflow.test",
        "LOOK_OUT": str(home / "out.json"),
    }
    with LocalAirflow(home / "airflow", home / "dags", parallelism=2, settings=settings) as airflow:
        yield airflow


def look(airflow: LocalAirflow, seconds: float = 180) -> dict[str, Any]:
    """Run the task, and return what it found."""
    airflow.wait(
        lambda: airflow.call("GET", "dags")["total_entries"], "the DAG to be parsed", seconds=seconds
    )
    airflow.call("POST", "dags/look/dagRuns", json={"dag_run_id": "one", "logical_date": None})

    def ended() -> str | None:
        state: str = airflow.call("GET", "dags/look/dagRuns/one")["state"]
        return state if state in ("success", "failed") else None

    assert airflow.wait(ended, "the task", seconds=seconds) == "success"
    found: dict[str, Any] = json.loads(Path(airflow.environment["LOOK_OUT"]).read_text())
    return found


def mapped(pid: int) -> set[str]:
    """The libraries whose compiled parts a process has loaded."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {name for name in LIBRARIES if f"/{name}/" in maps}


@pytest.mark.thorough
def test_tasks_of_the_local_executor_find_the_libraries_and_no_other_process_has_them(tmp_path: Path) -> None:
    with warm_airflow(tmp_path) as airflow:
        found = look(airflow)
        assert all(found["loaded"].values()), found
        assert mapped(airflow.processes["scheduler"].pid) == set(LIBRARIES)
        for name in ("api-server", "dag-processor", "triggerer"):
            assert mapped(airflow.processes[name].pid) == set(), name
        task = "dags/look/dagRuns/one/taskInstances/look"
        place = "mlops/reports/m/p/k.html"  # relative to the API server, which completes it
        report = f"{airflow.url}/{place}"
        assert airflow.call("GET", f"{task}/links")["extra_links"] == {
            "MLflow run": "http://mlflow.test/#/runs/abc",
            "Report": place,
        }
        assert httpx.get(report).status_code == 401
        assert httpx.get(report, headers={"Authorization": "Bearer x"}).status_code in (401, 403)
        assert httpx.get(report, headers=token(airflow)).text == "<html>a report</html>"
        assert httpx.get(f"{airflow.url}/mlops/openapi.json").status_code == 404


def token(airflow: LocalAirflow) -> dict[str, str]:
    answer = httpx.post(f"{airflow.url}/auth/token", json={"username": "admin", "password": airflow.password})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.mark.skipif(
    find_spec("airflow.providers.celery") is None, reason="the Celery provider is not installed"
)
@pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="there is no redis-server for Celery's queue"
)
def test_tasks_of_a_celery_worker_find_the_libraries_and_the_scheduler_does_not_pay(tmp_path: Path) -> None:
    port = free_port()
    redis = f"redis://127.0.0.1:{port}/0"
    settings = {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CELERY__BROKER_URL": redis,
        "AIRFLOW__CELERY__RESULT_BACKEND": redis,
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "1",
    }
    with ExitStack() as stack:
        broker = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        stack.callback(broker.wait)
        stack.callback(broker.terminate)
        airflow = stack.enter_context(warm_airflow(tmp_path, **settings))
        airflow._start("worker", ["celery", "worker", "--skip-serve-logs"])
        found = look(airflow)
        assert all(found["loaded"].values()), found
        assert mapped(airflow.processes["worker"].pid) == set(LIBRARIES)
        assert mapped(airflow.processes["scheduler"].pid) == set()
