"""Processes of their own that promote or train, and can be killed."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any

from airflow_mlops.domain.facts.results import Evaluation
from airflow_mlops.exceptions import RegistryUnavailable

# Forked from a process that has imported, but never run, what would not survive a fork.
_PRELOAD = [
    "airflow_mlops.stages.promote.promote", "airflow_mlops.stages.train.train", "deltalake", "mlflow", "mlflow.artifacts",
    "mlflow.sklearn", "numpy", "pyarrow.dataset", "pyarrow.parquet", "skops.io", "sklearn.linear_model",
    "sklearn.pipeline",
]  # fmt: skip

_RETRIES = 5
"""How often a task is tried again whose registry does not answer, as in our DAGs."""


class Process:
    """What runs, or has run, in a process of its own."""

    def __init__(self, process: BaseProcess, answer: Connection) -> None:
        self._process = process
        self._answer = answer

    def kill(self) -> None:
        """Kill it, and wait until it is dead; its exit code is for one thread only to read."""
        self._process.kill()
        wait([self._process.sentinel], 60)

    def ended(self) -> int | None:
        """Wait for its end, and return its exit code; the number of a signal is negative."""
        self._process.join(120)
        return self._process.exitcode

    def answer(self) -> str:
        """Wait for what it has to say: the action that was decided on, or the name of an error."""
        assert self._answer.poll(120), "the process has said nothing"
        return str(self._answer.recv())


@contextmanager
def started(target: Any, count: int, *arguments: tuple[Any, ...]) -> Iterator[list[Process]]:
    """Start processes at the same moment, and leave none behind."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(_PRELOAD)
    together = server.Barrier(count)
    running = []
    for each in arguments:
        answer, say = server.Pipe(duplex=False)
        process = server.Process(target=_run, args=(target, together, say, dict(os.environ), each))
        process.start()
        running.append((process, answer))
    try:
        yield [Process(process, answer) for process, answer in running]
    finally:
        for process, _ in running:
            process.kill()
            process.join()


def _run(
    target: Any, together: Barrier, say: Connection, environment: dict[str, str], arguments: tuple[Any, ...]
) -> None:
    # The server that forks has the environment of the test that started it.
    os.environ.update(environment)
    together.wait(120)
    try:
        say.send(target(*arguments))
    except Exception as error:  # noqa: BLE001 - whatever it is goes to the test
        say.send(type(error).__name__)


def promote(uri: str, ledger_uri: str, evaluation: str, key: str) -> str:
    """Promote as a task does, which comes again where MLflow could not be reached."""
    from mlflow import MlflowClient

    from airflow_mlops.stages.promote import promote

    client = MlflowClient(uri, uri)
    judged = Evaluation.model_validate_json(evaluation)
    for _ in range(_RETRIES):
        with suppress(RegistryUnavailable):
            return promote.promote(
                client, ledger_uri=ledger_uri, evaluation=judged, key=key, actor=key
            ).action
    return promote.promote(client, ledger_uri=ledger_uri, evaluation=judged, key=key, actor=key).action


def train(uri: str, model: str) -> str:
    """Train as a task does."""
    from mlflow import MlflowClient

    from registry_builders import make_version

    return make_version(MlflowClient(uri, uri), model).version
