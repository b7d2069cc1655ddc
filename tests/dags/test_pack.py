"""The pack is parsed as the DAG processor does it."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.serialization.serialized_objects import DagSerialization

DAGS = Path(__file__).parents[2] / "dags"


@pytest.fixture(scope="module")
def bag() -> BundleDagBag:
    return BundleDagBag(dag_folder=str(DAGS), bundle_path=DAGS, bundle_name="dags", load_op_links=False)


def test_every_file_of_the_pack_imports(bag: BundleDagBag) -> None:
    assert bag.import_errors == {}
    stages = ("ingest", "monitor", "rollback", "score", "train")
    assert set(bag.dags) == {*(f"flight_delays.{stage}" for stage in stages), "late_flights"}


def test_every_dag_and_task_of_a_spec_explains_itself(bag: BundleDagBag) -> None:
    for dag in bag.dags.values():
        assert dag.description, dag.dag_id
        assert dag.doc_md, dag.dag_id
        if dag.dag_id != "late_flights":
            assert not [task.task_id for task in dag.tasks if not task.doc_md]


def test_every_dag_survives_serialisation(bag: BundleDagBag) -> None:
    for dag in bag.dags.values():
        again = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert set(again.task_ids) == set(dag.task_ids)
