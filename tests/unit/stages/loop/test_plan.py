"""The loop of a spec that asks for data alone, and how it grows into that of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_mlops import DataSpec, ModelSpec
from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.stages.loop import loop
from airflow_mlops.stages.loop.plan import DataPlan, LoopPlan
from airflow_mlops.stores.sources.python import PythonSource
from airflow_mlops.stores.tables import tables
from history import month, rows_of
from synthetic import make_client

KEYS = ("2013-01", "2013-02", "2013-03")
DATA: dict[str, Any] = {
    "name": "flights",
    "key": ["flight"],
    "event_time": "departure",
    "partition": "month",
    "source": {"python": "nowhere:read"},
    "validate": [
        {
            "expect_column_values_to_be_between": {
                "column": "distance",
                "min_value": 0,
                "severity": "quarantine",
            }
        },
        {"expect_column_values_to_be_in_set": {"column": "origin", "value_set": ["EWR", "JFK", "LGA"]}},
    ],
}
MODEL: dict[str, Any] = {
    "task": "classification",
    "target": "late",
    "features": {"numeric": ["distance", "wind"], "categorical": ["carrier", "origin"]},
    "train": {"candidates": ["sklearn.linear_model.LogisticRegression"]},
}


def rows(key: str) -> pa.Table:
    """Return a month's flights: of February three have no sensible distance, of March all leave from elsewhere."""
    month_rows = rows_of(key)
    if key == "2013-02":
        bad = pa.array([-1] * 3 + month_rows["distance"].to_pylist()[3:], month_rows["distance"].type)
        return month_rows.set_column(month_rows.column_names.index("distance"), "distance", bad)
    if key == "2013-03":
        elsewhere = pc.utf8_upper(pa.array(["xxx"] * month_rows.num_rows))
        return month_rows.set_column(month_rows.column_names.index("origin"), "origin", elsewhere)
    return month_rows


def read(partition: Partition | None) -> pa.Table | None:
    return rows(partition.key) if partition else None


def plan_in(folder: Path, **changes: Any) -> DataPlan:
    return DataPlan(
        spec=DataSpec.from_dict(DATA | changes),
        source=PythonSource(read),
        storage=f"file://{folder}/storage",
        write=lambda name, content: None,
    )


def run(plan: DataPlan, *keys: str) -> list[Any]:
    return list(loop.run(plan, [month(key) for key in keys or KEYS]))


def test_data_alone_is_read_validated_and_published(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    begun: list[str] = []
    steps = list(loop.run(plan, map(month, KEYS), lambda partition, stage: begun.append(stage)))
    assert begun == ["ingest", "validate"] * 3 == [*loop.stages_of(plan)] * 3
    assert [step.validation.quarantined for step in steps] == [0, 3, 0]
    assert [step.validation.verdict for step in steps] == [Verdict.PASS, Verdict.PASS, Verdict.FAIL]
    assert steps[2].problem
    assert [tables.published(plan.uri("data"), key) is not None for key in KEYS] == [True, True, False]
    assert tables.published(plan.uri("data"), "2013-02").rows == rows("2013-02").num_rows - 3
    assert tables.read(plan.uri("quarantine"), partition="2013-02").num_rows == 3
    assert not any(tables.exists(plan.uri(name)) for name in ("ledger", "predictions", "monitoring"))


def test_what_is_published_is_not_read_again_and_what_was_stopped_is(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    run(plan)
    assert loop.undecided(plan, map(month, KEYS)) == ([month("2013-03")], [])


@pytest.mark.slow  # fits, and a process that blesses
def test_lines_make_it_a_model_that_goes_on_with_the_same_tables(tmp_path: Path) -> None:
    before = plan_in(tmp_path)
    run(before, *KEYS[:2])
    published = [tables.published(before.uri("data"), key) for key in KEYS[:2]]
    whole = LoopPlan(
        spec=ModelSpec.from_dict(DATA | MODEL),
        source=before.source,
        storage=before.storage,
        write=before.write,
        client=make_client(tmp_path),
        actor="ann",
        artifacts=f"file://{tmp_path}/artifacts",
        pictures=False,
    )
    assert loop.undecided(whole, map(month, KEYS[:2])) == ([month("2013-01"), month("2013-02")], [])
    steps = run(whole, *KEYS[:2])
    assert [step.problem for step in steps] == ["", ""]
    assert [step.dataset.version for step in steps] == [version.version for version in published]
    assert steps[1].decision.action is Action.PROMOTED
