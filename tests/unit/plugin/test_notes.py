from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.models import import_all_models  # noqa: TID251
from airflow.models.dagrun import DagRun, DagRunNote  # noqa: TID251
from airflow.models.taskinstance import TaskInstance  # noqa: TID251
from airflow.models.tasklog import LogTemplate  # noqa: TID251
from airflow.models.xcom import XComModel  # noqa: TID251
from airflow.utils.sqlalchemy import prohibit_commit
from pluggy import PluginManager
from sqlalchemy import create_engine, delete, insert, select, text
from sqlalchemy.orm import Session

from airflow_mlops.plugin import notes
from airflow_mlops.reporting.notes import KEY, entry

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TABLES = [model.__table__ for model in (DagRun, DagRunNote, LogTemplate, TaskInstance, XComModel)]


@pytest.fixture
def session() -> Iterator[Session]:
    """A session such as that of a scheduler, which nobody but the scheduler may commit."""
    import_all_models()
    engine = create_engine("sqlite://")
    DagRun.metadata.create_all(engine, tables=TABLES)
    with Session(engine) as session, prohibit_commit(session):
        yield session


def make_run(session: Session, dag_id: str = "flights.train", tags: set[str] | None = None) -> DagRun:
    run = DagRun(dag_id=dag_id, run_id="r", run_type="manual", run_after=NOON, partition_key="2013-03")
    run.dag = SimpleNamespace(tags={"mlops", "flights", "train"} if tags is None else tags)
    session.add(run)
    session.flush()
    return run


def ended(session: Session, run: DagRun, task: str, state: str, says: Any = None, minute: int = 0) -> None:
    """Leave a task of a run in Airflow's database, as a worker does over the execution API."""
    same = {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": task, "map_index": -1}
    session.execute(
        insert(TaskInstance.__table__).values(
            **same, id=uuid4(), state=state, end_date=NOON + timedelta(minutes=minute),
            max_tries=0, pool="default_pool", pool_slots=1, queue="default", priority_weight=1, try_number=1,
        )
    )  # fmt: skip
    if says is not None:
        value = entry("2013-03", says) if isinstance(says, str) and "://" not in says else says
        session.execute(insert(XComModel).values(**same, dag_run_id=run.id, key=KEY, value=value))


def end(run: DagRun, *, failed: bool = False) -> str | None:
    """End a run as the scheduler does, by the hooks of listeners, and return its note."""
    airflow = PluginManager("airflow")
    airflow.register(notes)
    hook = airflow.hook.on_dag_run_failed if failed else airflow.hook.on_dag_run_success
    hook(dag_run=run, msg="success")
    session = Session.object_session(run)
    return session.scalar(select(DagRunNote.content).where(DagRunNote.dag_run_id == run.id))


def test_the_sentence_of_a_task_becomes_the_note_of_its_run(session: Session) -> None:
    run = make_run(session)
    ended(session, run, "decide", "success")
    ended(session, run, "record", "success", "promoted version 4, roc_auc 0.71 against 0.69")
    assert end(run) == "2013-03: promoted version 4, roc_auc 0.71 against 0.69"
    author = session.scalar(select(DagRunNote.user_id))
    assert author == notes.AUTHOR


def test_sentences_stand_in_the_order_in_which_their_tasks_ended(session: Session) -> None:
    run = make_run(session)
    ended(session, run, "a_verdict", "success", "health PASS", minute=2)
    ended(session, run, "guard", "success", "rolled back to version 3", minute=1)
    assert end(run) == "2013-03: rolled back to version 3; health PASS"


def test_what_a_skipped_task_has_left_from_before_its_run_was_cleared_is_not_said(session: Session) -> None:
    run = make_run(session)
    ended(session, run, "validate", "failed", "FAIL, not published: 12 rows")
    ended(session, run, "publish", "upstream_failed", "published 1,000 rows")
    assert end(run, failed=True) == "2013-03: FAIL, not published: 12 rows"


def test_a_run_that_failed_without_a_word_names_the_task_that_failed_first(session: Session) -> None:
    run = make_run(session)
    ended(session, run, "alert", "failed", minute=2)
    ended(session, run, "train", "failed", minute=1)
    assert end(run, failed=True) == "2013-03: failed in train"


def test_a_run_that_is_repeated_says_what_came_of_it_now(session: Session) -> None:
    run = make_run(session)
    ended(session, run, "train", "failed")
    end(run, failed=True)
    session.execute(delete(TaskInstance))
    ended(session, run, "record", "success", "promoted version 4")
    assert end(run) == "2013-03: promoted version 4"


def test_a_note_of_a_person_stays(session: Session) -> None:
    run = make_run(session)
    session.execute(insert(DagRunNote).values(dag_run_id=run.id, content="mine", user_id="ada"))
    ended(session, run, "record", "success", "promoted version 4")
    assert end(run) == "mine"


@pytest.mark.parametrize(
    ("dag_id", "tags"),
    [("flights.train", set()), ("flights.train", {"mlops"}), ("train", {"mlops", "train", "flights"})],
)
def test_other_peoples_dags_are_left_alone(session: Session, dag_id: str, tags: set[str]) -> None:
    run = make_run(session, dag_id, tags)
    ended(session, run, "record", "failed", "promoted version 4")
    assert end(run, failed=True) is None


@pytest.mark.parametrize("value", ["s3://xcom/flights/r", 7, {"sentence": "x"}, [entry("a", "b")]])
def test_a_value_that_is_no_sentence_is_left_out(session: Session, value: Any) -> None:
    # An XCom backend may keep values elsewhere, and leave their address in the database.
    run = make_run(session)
    ended(session, run, "record", "success", value)
    assert end(run) is None


@pytest.mark.parametrize("table", ["dag_run_note", "xcom"])
def test_a_note_that_cannot_be_written_leaves_the_scheduler_as_it_was(
    session: Session, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run(session)
    ended(session, run, "record", "success", "promoted version 4")
    session.execute(text(f"alter table {table} rename to gone"))
    run.state = "success"
    airflow = PluginManager("airflow")
    airflow.register(notes)
    airflow.hook.on_dag_run_success(dag_run=run, msg="success")
    assert "The run r of flights.train gets no note" in caplog.text
    # What the scheduler has changed before is still to be sent, and can be.
    assert run in session.dirty
    session.flush()
    assert session.scalar(text("select state from dag_run")) == "success"


def test_a_note_is_as_long_as_airflow_allows(session: Session) -> None:
    run = make_run(session)
    ended(session, run, "record", "success", "refused: " + "*" * 2000)
    note = str(end(run))
    assert len(note) <= 1000
    assert note.endswith("\\*…")
