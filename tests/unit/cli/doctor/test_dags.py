from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from airflow_mlops.cli.doctor import dags as look_at
from airflow_mlops.cli.doctor.diagnosis import Condition

DAG_FILE = '''
"""DAGs of a model."""
from airflow_mlops import ModelSpec, continuous_training
continuous_training(ModelSpec.load("models/flights.yaml"))
'''


def test_dag_files_that_can_be_parsed_pass(dags: Path, spec: Callable[[str], None]) -> None:
    spec("defaults: 2\n")
    (dags / "flights.py").write_text(DAG_FILE)
    (diagnosis,) = look_at.files()
    assert diagnosis.status is Condition.PASS
    assert diagnosis.observation.endswith("can be parsed: 5 DAGs, 5 of them of models")


def test_a_spec_of_an_older_edition_of_the_defaults_is_named_with_what_it_would_get(
    dags: Path, spec: Callable[[str], None]
) -> None:
    spec("retrain: {when: {every: 3}}\n")
    (dags / "flights.py").write_text(DAG_FILE)
    *_, diagnosis = look_at.files()
    assert diagnosis.status is Condition.WARN
    assert (
        "defaults of edition 1; of the newest, 2, it would get monitor.performance.chance, "
        in diagnosis.observation
    )
    assert "retrain.again" in diagnosis.observation
    assert "retrain.when" not in diagnosis.observation
    assert "defaults: 2" in diagnosis.fix


def test_a_folder_that_is_missing_or_empty_is_named(dags: Path) -> None:
    (diagnosis,) = look_at.files()
    assert diagnosis.status is Condition.WARN
    assert "holds no DAG" in diagnosis.observation
    dags.rmdir()
    (diagnosis,) = look_at.files()
    assert diagnosis.status is Condition.FAIL
    assert diagnosis.observation == f"The folder {dags} is not there"


def test_an_import_error_and_a_spec_that_is_wrong_are_named(dags: Path, spec: Callable[[str], None]) -> None:
    spec("targett: late\n")
    (dags / "broken.py").write_text('"""A DAG for airflow."""\nimport nothing_of_this_name\n')
    broken, wrong = look_at.files()
    assert (broken.status, wrong.status) == (Condition.FAIL, Condition.FAIL)
    assert (
        "broken.py cannot be imported: ModuleNotFoundError: No module named 'nothing_of_this_name'"
        in broken.observation
    )
    assert "targett" in wrong.observation


def test_a_dag_file_that_airflow_skips_is_named(dags: Path, spec: Callable[[str], None]) -> None:
    spec("defaults: 2\n")
    (dags / "flights.py").write_text(DAG_FILE.replace("DAGs of a model", "My model"))
    (diagnosis,) = look_at.files()
    assert diagnosis.status is Condition.WARN
    assert f"{dags / 'flights.py'} imports airflow_mlops, and Airflow skips it" in diagnosis.observation


def test_paused_dags_are_named() -> None:
    paused = {"flights.ingest": True, "flights.score": True, "flights.train": False, "parcels.ingest": False}
    flights, late, parcels = look_at.states(paused, ["flights", "parcels", "late"])
    assert (flights.status, flights.observation) == (Condition.WARN, "Paused: flights.ingest, flights.score")
    assert flights.fix == "airflow dags unpause flights.ingest … and the others"
    assert (late.status, late.observation) == (
        Condition.WARN,
        "There is a spec of late, and Airflow has no DAGs of it",
    )
    assert (parcels.status, parcels.observation) == (Condition.PASS, "No DAG of parcels is paused")
    assert [diagnosis.status for diagnosis in look_at.states({}, [])] == [Condition.SKIPPED]


@pytest.fixture
def database() -> Iterator[None]:
    """Airflow's database, with the tables that are looked at."""
    from airflow import settings
    from airflow.jobs.job import Job
    from airflow.models.dag import DagModel, DagTag  # noqa: TID251
    from airflow.models.dagbundle import DagBundleModel  # noqa: TID251

    tables = [model.__table__ for model in (DagBundleModel, DagModel, DagTag, Job)]
    metadata = DagModel.metadata
    metadata.create_all(settings.engine, tables=tables)
    yield
    metadata.drop_all(settings.engine, tables=tables)


def test_a_database_without_tables_is_named(dags: Path) -> None:
    (diagnosis,) = look_at.look()
    assert diagnosis.status is Condition.FAIL
    assert "no such table" in diagnosis.observation
    assert diagnosis.fix.startswith("airflow db migrate")


def test_paused_dags_and_dead_services_are_read_from_the_database(
    database: None, spec: Callable[[str], None]
) -> None:
    from airflow._shared.timezones import timezone
    from airflow.jobs.job import Job
    from airflow.models.dag import DagModel, DagTag  # noqa: TID251
    from airflow.models.dagbundle import DagBundleModel  # noqa: TID251
    from airflow.utils.session import create_session  # noqa: TID251

    spec("")
    services, unseen = look_at.look()
    assert (services.status, unseen.status) == (Condition.WARN, Condition.WARN)
    assert "Neither scheduler nor" in services.observation
    now = timezone.utcnow()
    with create_session() as session:
        session.add(DagBundleModel(name="dags"))
        session.flush()
        for stage in ("ingest", "train"):
            dag = DagModel(
                dag_id=f"flights.{stage}", bundle_name="dags", is_stale=False, is_paused=stage == "train"
            )
            dag.tags = [DagTag(name="mlops", dag_id=dag.dag_id)]
            session.add(dag)
        for kind, age in (("SchedulerJob", 0), ("DagProcessorJob", 0), ("TriggererJob", 900)):
            job = Job(state="running", latest_heartbeat=now - timedelta(seconds=age))
            job.job_type = kind
            session.add(job)
    triggerer, paused = look_at.look()
    assert triggerer.status is Condition.FAIL
    assert triggerer.observation == "The triggerer has no fresh heartbeat"
    assert (paused.status, paused.observation) == (Condition.WARN, "Paused: flights.train")
