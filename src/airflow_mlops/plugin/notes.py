"""A listener that writes the note of a run when it ends, so that the list of a DAG's runs tells its story.

Airflow calls it in the scheduler, within the transaction that ends the run. It loads nothing, makes two small queries, and
whatever goes wrong leaves the run without a note, and the transaction as it was.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from airflow_mlops.reporting.notes import KEY, TAG, note

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun  # noqa: TID251
    from sqlalchemy import Connection

AUTHOR = "airflow-mlops"
"""Who has written a note, in Airflow's database; a note of anybody else is left as it is."""

log = logging.getLogger(__name__)


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """Write the note of a run that has succeeded."""
    _write(dag_run, failed=False)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Write the note of a run that has failed."""
    _write(dag_run, failed=True)


def _write(dag_run: DagRun, *, failed: bool) -> None:
    try:
        if not _is_ours(dag_run):
            return
        from sqlalchemy.orm import object_session

        session = object_session(dag_run)
        if session is None:
            return
        connection = session.connection()
        # A savepoint, so that no error of ours ends the transaction; not one of the session, which would count as a commit.
        with connection.begin_nested():
            _keep(connection, dag_run.id, _text(connection, dag_run, failed))
    except Exception:
        log.warning("The run %s of %s gets no note", dag_run.run_id, dag_run.dag_id, exc_info=True)


def _is_ours(dag_run: DagRun) -> bool:
    """Tell whether a run is of a DAG that was made of a spec; people's own DAGs keep their notes to themselves."""
    model, _, stage = dag_run.dag_id.rpartition(".")
    return {TAG, model, stage} <= set(getattr(dag_run.dag, "tags", None) or ())


def _text(connection: Connection, dag_run: DagRun, failed: bool) -> str:
    """Return what the tasks that ran say; a task that was skipped may have left something before its run was cleared."""
    from airflow.models.taskinstance import TaskInstance  # noqa: TID251 - it runs in the scheduler, which has the database
    from airflow.models.xcom import XComModel  # noqa: TID251
    from sqlalchemy import and_, select

    same = ("dag_id", "run_id", "task_id", "map_index")
    joined = (getattr(XComModel, name) == getattr(TaskInstance, name) for name in same)
    tasks = connection.execute(
        select(TaskInstance.task_id, TaskInstance.state, XComModel.value)
        .outerjoin(XComModel, and_(*joined, XComModel.key == KEY))
        .where(TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id)
        .where(TaskInstance.state.in_(("success", "failed")))
        .order_by(TaskInstance.end_date, TaskInstance.task_id, TaskInstance.map_index)
    ).all()
    broken = [task for task, state, value in tasks if state == "failed"] if failed else []
    explained = any(value is not None for _, state, value in tasks if state == "failed")
    first = broken[0] if broken and not explained else None
    return note([value for _, _, value in tasks], dag_run.partition_key, first)


def _keep(connection: Connection, run: int, text: str) -> None:
    """Write the note, unless a person has written one."""
    from airflow.models.dagrun import DagRunNote  # noqa: TID251
    from sqlalchemy import insert, select, update

    if not text:
        return
    authors = connection.execute(select(DagRunNote.user_id).where(DagRunNote.dag_run_id == run)).all()
    values = {"content": text, "user_id": AUTHOR}
    change: Any = insert(DagRunNote).values(dag_run_id=run, **values)
    if authors:
        if authors[0].user_id != AUTHOR:
            return
        change = update(DagRunNote).where(DagRunNote.dag_run_id == run).values(**values)
    connection.execute(change)
