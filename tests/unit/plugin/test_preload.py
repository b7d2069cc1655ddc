from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_mlops import config
from airflow_mlops.plugin import preload

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

FORKED = """
import json, os, sys, threading
from airflow_mlops.plugin import preload
preload.preload()
import numpy
found = {"missing": sorted(set(preload.MODULES) - set(sys.modules)), "python_threads": threading.active_count(),
         "threads": sorted(open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")),
         "drawn": [], "threads_of_a_child": []}
for _ in range(2):
    read, write = os.pipe()
    if not (child := os.fork()):
        threads = len(os.listdir("/proc/self/task"))
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.linear_model import LogisticRegression
        import pyarrow, tempfile, deltalake
        x = numpy.random.default_rng(0).random((2000, 5)); y = x[:, 0] > 0.5
        for model in (HistGradientBoostingClassifier(max_iter=5), LogisticRegression()):
            assert model.fit(x, y).score(x, y) > 0.9
        with tempfile.TemporaryDirectory() as folder:
            deltalake.write_deltalake(folder, pyarrow.table({"x": x[:, 0]}))
            assert deltalake.DeltaTable(folder).to_pyarrow_table().num_rows == 2000
        os.write(write, json.dumps([numpy.random.random(), threads]).encode()); os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    drawn, threads = json.loads(os.read(read, 100))
    found["drawn"].append(drawn); found["threads_of_a_child"].append(threads)
print(json.dumps(found))
"""


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> Iterator[None]:
    config.preload.cache_clear()
    yield
    config.preload.cache_clear()


def preloads(
    monkeypatch: pytest.MonkeyPatch, command: str, *, option: str = "True", executor: str = "LocalExecutor"
) -> bool:
    """Tell whether a command would preload; the libraries themselves stay out of the test's process."""
    done: list[Any] = []
    monkeypatch.setenv("AIRFLOW__MLOPS__PRELOAD", option)
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    monkeypatch.setattr(preload, "preload", lambda: done.append(command))
    config.preload.cache_clear()
    preload.before_command(command.split())
    return bool(done)


@pytest.mark.parametrize(
    ("command", "executor"), [("scheduler", "LocalExecutor"), ("celery worker -q default", "CeleryExecutor")]
)
def test_the_process_that_forks_tasks_preloads_if_asked_to(
    monkeypatch: pytest.MonkeyPatch, command: str, executor: str
) -> None:
    assert preloads(monkeypatch, command, executor=executor)
    assert not preloads(monkeypatch, command, executor=executor, option="False")


@pytest.mark.parametrize(
    "command",
    [
        "api-server",
        "dag-processor",
        "triggerer",
        "standalone",
        "dags list",
        "celery flower",
        "mlops history x",
    ],
)
def test_no_other_process_preloads(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    assert not preloads(monkeypatch, command)


def test_a_scheduler_whose_tasks_run_elsewhere_does_not_preload(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not preloads(monkeypatch, "scheduler", executor="CeleryExecutor")


def test_a_scheduler_that_does_not_fork_says_so_instead_of_preloading(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW__SCHEDULER__MP_START_METHOD", "spawn")
    assert not preloads(monkeypatch, "scheduler")
    assert "mp_start_method = fork; it is spawn" in caplog.text


def test_a_library_that_cannot_be_imported_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(preload, "MODULES", ("json", "no_such_library"))
    monkeypatch.setattr(os, "register_at_fork", lambda **_: None)
    with caplog.at_level("INFO"):
        preload.preload()
    assert "Could not preload no_such_library: ModuleNotFoundError" in caplog.text
    assert "Preloaded 1 of 2 modules" in caplog.text


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_a_fork_after_preloading_is_safe() -> None:
    run = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, check=True, timeout=300
    )
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["missing"] == []
    assert found["python_threads"] == 1
    # OpenBLAS (numpy's and scipy's, named like the process) and jemalloc (pyarrow's and deltalake's) start theirs on
    # import, and end and begin them again around a fork. Anything else would be new and is to be looked at.
    assert set(found["threads"]) <= {"python", "python3", "python3.11", "jemalloc_bg_thd"}
    assert found["threads_of_a_child"] == [1, 1]
    assert found["drawn"][0] != found["drawn"][1]
