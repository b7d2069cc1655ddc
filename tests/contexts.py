"""What a running task sees, without a scheduler: enough of Airflow's context to execute an operator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, BaseOperator
from airflow.sdk.definitions.param import process_params
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_mlops import config
from airflow_mlops.assets import EXTRA
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.reporting import notes
from airflow_mlops.runs import FACTS
from history import MODEL, History

_OPTIONS = (
    config.storage,
    config.reports,
    config.tracking_uri,
    config.mlflow_conn_id,
    config.mlflow_url,
    config.decision_timeout,
)


def deploy(folder: Path, monkeypatch: pytest.MonkeyPatch, *, mlflow: bool = False) -> Iterator[History]:
    """Point ``[mlops]`` at a folder, and yield what is stored there.

    :param mlflow: have a database ready, which takes a second to make where there is none.
    """
    history = History(folder)
    if mlflow:
        history.client.search_experiments(max_results=1)
    monkeypatch.setenv("AIRFLOW__MLOPS__STORAGE", history.storage)
    monkeypatch.setenv("AIRFLOW__MLOPS__REPORTS", f"{history.storage}/reports")
    monkeypatch.setenv("AIRFLOW__MLOPS__TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    for option in _OPTIONS:
        option.cache_clear()
    yield history
    for option in _OPTIONS:
        option.cache_clear()


def through_json(value: Any) -> Any:
    """Do to a value what XCom does."""
    return json.loads(json.dumps(value, allow_nan=False))


class TaskInstance:
    """What a task run pushes and pulls.

    :param given: XComs of other tasks, by task id and key.
    :param states: states of the run's tasks.
    """

    map_index = -1
    log_url = "http://127.0.0.1:8080/the-task"

    def __init__(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        given: dict[tuple[str, str], Any],
        states: dict[str, str],
    ) -> None:
        self.dag_id = dag_id
        self.run_id = run_id
        self.task_id = task_id
        self.given = given
        self.states = states
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = through_json(value)

    def xcom_pull(self, task_ids: str, key: str = "return_value") -> Any:
        return self.given.get((task_ids, key))

    def get_task_states(self, *, dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str]]:
        return {self.run_id: dict(self.states)} if dag_id == self.dag_id and self.run_id in run_ids else {}


class Run:
    """One run of a DAG, in which tasks are executed one by one.

    :param dag_id: id of the DAG.
    :param partition: key of the run's partition; None for a run without one.
    :param run_id: its id.
    :param conf: what a person or a REST call sent along.
    :param form: the DAG's params.
    """

    def __init__(
        self,
        dag_id: str = f"{MODEL}.test",
        partition: str | None = None,
        *,
        run_id: str = "run-1",
        conf: dict[str, Any] | None = None,
        form: dict[str, Any] | None = None,
    ) -> None:
        self.dag = DAG(dag_id, params=form)
        self.partition = partition
        self.run_id = run_id
        self.conf = conf
        self.given: dict[tuple[str, str], Any] = {}
        self.states: dict[str, str] = {}
        self.outlet_events = OutletEventAccessors()
        self.ti = self._task_instance("task")

    @property
    def pushed(self) -> dict[str, Any]:
        """What the task executed last has pushed, for anybody to read."""
        return {key: value for key, value in self.ti.pushed.items() if key not in (FACTS, notes.KEY)}

    @property
    def note(self) -> str:
        """What the task executed last has to say of its run."""
        return notes.note([self.ti.pushed.get(notes.KEY)], None, None)

    @property
    def stated(self) -> list[Statement]:
        """What the task executed last has stated, for alerts to tell."""
        return [Statement.from_dict(part) for part in self.ti.pushed.get(FACTS, [])]

    def context(self, task: BaseOperator | None = None) -> Any:
        task = task or BaseOperator(task_id="task")
        context: dict[str, Any] = {
            "params": process_params(self.dag, task, self.conf, suppress_exception=False),
            "dag": self.dag,
            "dag_run": SimpleNamespace(conf=self.conf),
            "outlet_events": self.outlet_events,
            "run_id": self.run_id,
            "task": task,
            "ti": self.ti,
        }
        return context | ({"partition_key": self.partition} if self.partition else {})

    def execute(self, operator: type[BaseOperator], task_id: str = "task", **arguments: Any) -> Any:
        """Execute an operator as a task of this run, and return what it returned."""
        # Outside of the DAG, where an id stands once, so that a task can be tried again.
        return self.execute_task(operator(task_id=task_id, **arguments))

    def execute_task(self, task: BaseOperator) -> Any:
        self.ti = self._task_instance(task.task_id)
        return through_json(task.execute(self.context(task)))

    def facts(self, asset: Asset) -> dict[str, Any]:
        """Return the facts in the event of an outlet."""
        facts: dict[str, Any] = through_json(self.outlet_events[asset].extra).get(EXTRA, {})
        return facts

    def _task_instance(self, task_id: str) -> TaskInstance:
        return TaskInstance(self.dag.dag_id, self.run_id, task_id, self.given, self.states)
