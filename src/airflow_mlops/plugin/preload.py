"""Warm workers: import the heavy libraries once, in the process that tasks are forked from.

Nothing is executed in that process: forking after an import is safe, forking after OpenMP, Arrow or polars have run is
not. Threads that an import itself starts, those of OpenBLAS and of jemalloc, have fork handlers of their own.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import time
import warnings
from importlib import import_module

from airflow.sdk import conf

from airflow_mlops import config

MODULES = (
    "pandas",
    "pyarrow.acero",
    "pyarrow.dataset",
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
    "mlflow.pyfunc",
    "mlflow.sklearn",
    "mlflow.tracking",
    # A client of a database, rather than of a server, opens it in the task.
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_workspace_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "alembic.runtime.environment",
    "great_expectations",
    "evidently.presets",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "jinja2.ext",
    "airflow.dag_processing.bundles.local",
    "airflow.dag_processing.dagbag",
    "airflow.providers.common.io.assets.file",
    "airflow_mlops.pipelines.continuous_training",
)
"""Modules that a task process imports: those of the heavy libraries, and those that parsing its DAG file needs."""

log = logging.getLogger(__name__)


def before_command(arguments: list[str]) -> None:
    """Preload if a command starts a process that forks tasks, and ``[mlops] preload`` is on.

    Call it in the process of the command, before anything is forked. The listener hook ``on_starting`` does not serve
    for this: it is called before a job knows whether it is a scheduler's, and in a Celery worker only in the process of
    a task.

    :param arguments: the command, e.g. ``["celery", "worker"]``.
    """
    if arguments[:1] == ["scheduler"]:
        if config.preload() and _scheduler_forks_tasks():
            preload()
    elif arguments[:2] == ["celery", "worker"] and config.preload():
        preload()


def preload() -> None:
    """Import :data:`MODULES`; one that cannot be imported is a warning."""
    start = time.monotonic()
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # a line for each of its expectations
    with warnings.catch_warnings():
        # skops looks names up in every module that is loaded, and meets a thousand deprecated ones.
        warnings.simplefilter("ignore")
        loaded = sum(map(_load, MODULES))
        _list_packages()
    os.register_at_fork(after_in_child=_reseed)
    log.info("Preloaded %s of %s modules in %.1f s.", loaded, len(MODULES), time.monotonic() - start)


def _reseed() -> None:
    # A fork inherits the state of numpy's global generator: without this, all tasks would draw the same numbers.
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()


def _load(name: str) -> bool:
    try:
        import_module(name)
    except Exception as error:  # noqa: BLE001 a library may raise anything, and the scheduler must start
        log.warning("Could not preload %s: %s: %s", name, type(error).__name__, error)
        return False
    return True


def _list_packages() -> None:
    """Read the list of installed packages ahead, MLflow's and ours; it takes most of the time of logging a model."""
    try:
        from mlflow.utils.requirements_utils import warn_dependency_requirement_mismatches

        from airflow_mlops.learning import provenance

        warn_dependency_requirement_mismatches([f"mlflow=={provenance.packages()['mlflow']}"])
    except Exception as error:  # noqa: BLE001 as above
        log.warning("Could not read the list of packages: %s: %s", type(error).__name__, error)


def start_method() -> str:
    """Return how the scheduler starts the processes of tasks: only ``fork`` hands on what is imported."""
    from airflow.utils.process_utils import resolve_mp_start_method

    return str(resolve_mp_start_method("scheduler") or multiprocessing.get_start_method())


def _scheduler_forks_tasks() -> bool:
    if "LocalExecutor" not in conf.get("core", "executor"):
        return False
    method = start_method()
    if method != "fork":
        log.warning("[mlops] preload needs [scheduler] mp_start_method = fork; it is %s.", method)
    return method == "fork"
