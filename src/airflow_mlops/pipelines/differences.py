"""Which DAGs and tasks would be others by a changed spec."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset
from airflow.sdk.definitions.xcom_arg import XComArg
from pydantic import BaseModel

from airflow_mlops.domain.facts.preview import TaskChange
from airflow_mlops.domain.spec.dataset import DataSpec
from airflow_mlops.pipelines.continuous_training import continuous_training
from airflow_mlops.stages.preview import meaning

_OF_DAG: dict[str, Callable[[Any], Any]] = {
    "schedule": lambda dag: dag.timetable,
    "start date": lambda dag: dag.start_date,
    "end date": lambda dag: dag.end_date,
    "owner": lambda dag: dag.default_args.get("owner"),
    "page": lambda dag: dag.doc_md,
    "form": lambda dag: {name: param.description for name, param in dag.params.items()},
}
# Objects that describe the whole, and not the task.
_NOT_OF_TASK = {"kwargs", "self", "args", "doc_md", "dag", "spec"}


def task_changes(
    before: DataSpec | None, after: DataSpec, folder: Path | None = None
) -> tuple[TaskChange, ...]:
    """Return the DAGs and tasks of one spec that those of another lack, or have set otherwise.

    :param before: None if there was no spec, so that all DAGs are new.
    :param folder: that relative paths of suites of the spec after begin in.
    """
    former = {dag.dag_id: dag for dag in continuous_training(meaning.ordered(before))} if before else {}
    present = {dag.dag_id: dag for dag in continuous_training(meaning.ordered(after, folder))}
    return tuple(_changes(former, present))


def _changes(former: Mapping[str, DAG], present: Mapping[str, DAG]) -> Iterator[TaskChange]:
    for dag_id in dict.fromkeys([*present, *former]):
        was, now = former.get(dag_id), present.get(dag_id)
        if was is None or now is None:
            yield TaskChange(dag=dag_id, how="added" if was is None else "removed")
            continue
        if settings := _differing(_dag_settings(was), _dag_settings(now)):
            yield TaskChange(dag=dag_id, how="changed", settings=settings)
        tasks = {task.task_id: task for task in was.tasks}, {task.task_id: task for task in now.tasks}
        yield from _task_changes(dag_id, *tasks)


def _task_changes(dag_id: str, former: Mapping[str, Any], present: Mapping[str, Any]) -> Iterator[TaskChange]:
    for task_id in dict.fromkeys([*present, *former]):
        was, now = former.get(task_id), present.get(task_id)
        if was is None or now is None:
            yield TaskChange(dag=dag_id, task=task_id, how="added" if was is None else "removed")
        elif settings := _differing(_task_settings(was), _task_settings(now)):
            yield TaskChange(dag=dag_id, task=task_id, how="changed", settings=settings)


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        name
        for name in sorted({*after, *before})
        if not meaning.is_same(before.get(name), after.get(name), exactly=name == "candidate")
    )


def _dag_settings(dag: DAG) -> dict[str, Any]:
    return {name: _plain(read(dag)) for name, read in _OF_DAG.items()}


def _task_settings(task: Any) -> dict[str, Any]:
    mapped = getattr(task, "partial_kwargs", None)
    if mapped is None:
        names = {
            name
            for kind in type(task).__mro__
            if kind.__module__.startswith("airflow_mlops.") and "__init__" in vars(kind)
            for name in inspect.signature(vars(kind)["__init__"]).parameters
        }
        settings = {name: getattr(task, name, None) for name in sorted(names)}
    else:
        settings = {**mapped, **task.expand_input.value}
    settings = {name: value for name, value in settings.items() if name not in _NOT_OF_TASK}
    return {name: _plain(value) for name, value in settings.items()} | {
        "upstream tasks": sorted(task.upstream_task_ids)
    }


def _plain(value: Any) -> Any:
    """Return a value in a form that is equal for equal meanings."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, XComArg | Asset):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, str | int | float) or value is None:
        return value
    attributes = getattr(type(value), "__attrs_attrs__", None)
    if attributes is not None:
        return {attribute.name: _plain(getattr(value, attribute.name)) for attribute in attributes}
    text = str(value)
    # Without a text of its own it has that of its place in memory.
    return type(value).__name__ if " at 0x" in text else text
