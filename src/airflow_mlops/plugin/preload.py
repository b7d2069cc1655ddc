"""Warm workers: import the heavy libraries once, in the process that tasks are forked from.

Nothing is executed in that process: forking after an import is safe, forking after OpenMP, Arrow or polars have run is
not. What an import itself starts (threads of OpenBLAS and of jemalloc) their own fork handlers take care of.
"""

from __future__ import annotations

import logging
import multiprocessing
import time
import warnings
from importlib import import_module
from typing import Any

from airflow_mlops import config

MODULES = (
    "pandas",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.impute",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "skops.io",
    "deltalake",
    "mlflow.sklearn",
    "mlflow.tracking",
    "great_expectations",
    "evidently.presets",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "airflow.dag_processing.dagbag",
    "airflow_mlops.pipelines.continuous_training",
)
"""What a task process imports: libraries by the modules that our engines name, and what parsing its DAG file takes."""

log = logging.getLogger(__name__)


def before_command(*, sub_command: str, **_: Any) -> None:
    """Preload if the command line starts a process that forks tasks and ``[mlops] preload`` is on.

    Airflow calls this in each process that a command starts, before the command itself. The listener hook
    ``on_starting`` comes before a job knows whether it is a scheduler, and never comes in a Celery worker.

    :param sub_command: name of the function behind the command, e.g. ``scheduler``; ``worker`` for ``celery worker``.
    """
    if sub_command not in ("scheduler", "worker") or not config.preload():
        return
    if sub_command == "scheduler" and not _scheduler_forks():
        log.warning("[mlops] preload has no effect: the scheduler forks no tasks; see docs/warm-workers.md.")
        return
    preload()


def preload() -> None:
    """Import :data:`MODULES`; one that cannot be imported is a warning."""
    start = time.monotonic()
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # a line for each of its expectations
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skops looks names up in every loaded module, deprecated ones included
        loaded = sum(map(_load, MODULES))
    log.info("Preloaded %s of %s modules in %.1f s.", loaded, len(MODULES), time.monotonic() - start)


def _load(name: str) -> bool:
    try:
        import_module(name)
    except Exception as error:  # noqa: BLE001 a library may raise anything, and the scheduler must start
        log.warning("Could not preload %s: %s: %s", name, type(error).__name__, error)
        return False
    return True


def _scheduler_forks() -> bool:
    from airflow.executors.executor_loader import ExecutorLoader
    from airflow.utils.process_utils import resolve_mp_start_method

    names = {executor.module_path.rpartition(".")[2] for executor in ExecutorLoader.get_executor_names()}
    method = resolve_mp_start_method("scheduler") or multiprocessing.get_start_method()
    return "LocalExecutor" in names and method == "fork"
