from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import NotEnoughData, TableMissing, UnknownPartition
from airflow_mlops.stages import adopt
from airflow_mlops.stages.loop import loop
from airflow_mlops.stages.promote import adopt as promote_adopted
from airflow_mlops.stages.promote import promote
from airflow_mlops.stores.registry import elsewhere, ledger, registry
from airflow_mlops.testing import LoopLab
from foreign_models import fitted, register, save
from history import month, rows_of

pytestmark = pytest.mark.slow  # fits, and processes that load and bless

SPEC: dict[str, Any] = {
    "name": "flights",
    "task": "classification",
    "target": "late",
    "key": ["flight"],
    "event_time": "departure",
    "partition": "month",
    "features": {"numeric": ["distance", "wind"], "categorical": ["carrier", "origin"]},
    "source": {"python": "nowhere:read"},
    "train": {"candidates": [{"sklearn.linear_model.LogisticRegression": {"C": 0.5}}]},
    "gates": {"versus_champion": None},
    "retrain": {"when": {"every": 1}},
}


class Adoption:
    """A model that was trained in a notebook, and a loop that takes it over."""

    def __init__(self, lab: LoopLab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.spec = ModelSpec.from_dict(SPEC)
        self.rows = {key: rows_of(key) for key in ("2013-01", "2013-02", "2013-03")}

    @property
    def plan(self) -> Any:
        return self.lab._plan(self.spec, self.rows, None)

    def run(self, *keys: str) -> list[Any]:
        return list(loop.run(self.plan, map(month, keys)))

    def take_in(self, number: str, **changes: Any) -> Any:
        foreign = elsewhere.version(self.plan.client, "notebook", number)
        return adopt.taken_in(self.plan.client, foreign, self.spec, self.plan.storage, **changes)


@pytest.fixture
def adoption(mlops: LoopLab, tmp_path: Path) -> Adoption:
    return Adoption(mlops, tmp_path)


def test_a_model_that_served_elsewhere_is_adopted_and_the_loop_goes_on(adoption: Adoption) -> None:
    plan = adoption.plan
    adoption.run("2013-01")
    folder = save(fitted(rows_of("2013-01")), adoption.folder / "model")
    number = register(plan.client, folder, tags={"trained_until": "2013-01"})
    trained = adoption.take_in(number)
    assert adoption.take_in(number) == trained
    decision = promote_adopted.adopt(
        plan.client, ledger_uri=plan.uri("ledger"), model="flights", version=trained.version, reason="it serves already",
        key="k", actor="anna",
    )  # fmt: skip
    assert (decision.action, decision.before, decision.after) == (Action.ADOPTED, None, "1")
    [move] = ledger.moves(plan.uri("ledger"))
    assert (move.action, move.digest, move.reason) == (Action.ADOPTED, trained.digest, "it serves already")
    [february] = adoption.run("2013-02")
    assert february.scoring.rows == adoption.rows["2013-02"].num_rows
    assert february.scoring.champion.version == "1"
    # Drift is measured against the recorded partitions.
    assert {check.name for check in february.health.columns} >= {"drift.distance", "drift.carrier"}
    assert february.health.staleness.observed == 1
    # A candidate of ours is judged beside it, on the same rows.
    assert february.decision.action is Action.PROMOTED, february.decision.reason
    assert february.decision.before == "1"
    assert february.decision.champion_metrics["roc_auc"] > 0.8
    back = promote.rollback(
        plan.client, ledger_uri=plan.uri("ledger"), model="flights", to=None, reason="no", key="r", actor="anna",
        partition="2013-02",
    )  # fmt: skip
    assert (back.after, registry.champion_version(plan.client, "flights")) == ("1", "1")


def test_which_partitions_drift_is_measured_against_can_be_said(adoption: Adoption) -> None:
    plan = adoption.plan
    folder = save(fitted(rows_of("2013-01")), adoption.folder / "model")
    number = register(plan.client, folder)
    with pytest.raises(TableMissing, match=r"No data of 'flights' is published .*run flights.ingest"):
        adoption.take_in(number)
    adoption.run("2013-01", "2013-02")
    trained = adoption.take_in(number, first="2013-02", last="2013-02", trained_until="2012-12")
    assert (f"{trained.split.start:%Y-%m}", f"{trained.split.cut:%Y-%m}") == ("2013-02", "2013-03")
    assert trained.split.train_rows == adoption.rows["2013-02"].num_rows
    assert (trained.origin.source, f"{trained.origin.until:%Y-%m}") == ("person", "2013-01")
    assert registry.version(plan.client, "flights", trained.version).trained_through == "2012-12"
    with pytest.raises(
        UnknownPartition, match="--from: '2012-07' of 'flights' is not published; these are: 2013-01 to"
    ):
        adoption.take_in(number, first="2012-07")
    with pytest.raises(UnknownPartition, match="--from: 2013-02 lies after 2013-01"):
        adoption.take_in(number, first="2013-02", last="2013-01")
    with pytest.raises(ValueError, match="--trained-until: 'soon' is no partition, no day and no time"):
        adoption.take_in(number, trained_until="soon")


def test_too_few_rows_to_measure_drift_against_are_told(adoption: Adoption) -> None:
    adoption.rows["2013-01"] = rows_of("2013-01").slice(0, 20)
    adoption.run("2013-01")
    folder = save(fitted(rows_of("2013-01")), adoption.folder / "model")
    number = register(adoption.plan.client, folder)
    with pytest.raises(NotEnoughData, match="2013-01 to 2013-01 of 'flights' have 20 rows; 50 are needed"):
        adoption.take_in(number)
