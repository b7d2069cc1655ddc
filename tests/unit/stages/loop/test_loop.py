from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.facts.retraining import RetrainDecision, trained
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import RegistryUnavailable
from airflow_mlops.learning.models import models
from airflow_mlops.reporting import sentences
from airflow_mlops.stages.loop import loop, training
from airflow_mlops.stages.loop.plan import LoopPlan
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.stores.sources.python import PythonSource
from airflow_mlops.stores.tables import tables
from history import changed, month, rows_of, shifted
from synthetic import make_client

pytestmark = pytest.mark.slow  # fits, and processes that bless

KEYS = ("2013-01", "2013-02", "2013-03")
SPEC: dict[str, Any] = {
    "name": "flights",
    "task": "classification",
    "target": "late",
    "key": ["flight"],
    "event_time": "departure",
    "partition": "month",
    "features": {"numeric": ["distance", "wind"], "categorical": ["carrier", "origin"]},
    "source": {"python": "nowhere:read"},
    "validate": [{"expect_column_values_to_be_between": {"column": "distance", "min_value": 0}}],
    "train": {"candidates": ["sklearn.linear_model.LogisticRegression"]},
    "retrain": {"when": {"every": 1}},
}


class World:
    """A model's folder, and pages by their names."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.client = make_client(folder)
        self.pages: dict[str, bytes] = {}
        self.rows = {key: rows_of(key) for key in KEYS}
        self.change(**changes)

    def change(self, **changes: Any) -> None:
        self.plan = LoopPlan(
            spec=ModelSpec.from_dict(SPEC | changes),
            client=self.client,
            source=PythonSource(self.read),
            storage=f"file://{self.folder}/storage",
            write=self.pages.__setitem__,
            actor="ann",
            artifacts=f"file://{self.folder}/artifacts",
        )

    def read(self, partition: Partition | None) -> pa.Table | None:
        return self.rows.get(partition.key) if partition else None

    def run(self, *keys: str) -> list[Any]:
        return list(loop.run(self.plan, [month(key) for key in keys or KEYS]))

    @property
    def champion(self) -> str | None:
        return registry.champion_version(self.client, "flights")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, list[Any], list[tuple[str, str]]]:
    world = World(tmp_path_factory.mktemp("loop"))
    begun: list[tuple[str, str]] = []
    partitions = [month(key) for key in KEYS]
    steps = list(
        loop.run(world.plan, partitions, lambda partition, stage: begun.append((partition.key, stage)))
    )
    return world, steps, begun


def test_each_partition_goes_through_all_stages(told: tuple[World, list[Any], list[tuple[str, str]]]) -> None:
    world, steps, begun = told
    assert begun == [(key, stage) for key in KEYS for stage in loop.STAGES]
    assert [step.partition for step in steps] == [*KEYS]
    assert [step.dataset.rows for step in steps] == [world.rows[key].num_rows for key in KEYS]
    assert [step.validation.verdict for step in steps] == [Verdict.PASS] * 3
    assert not any(step.problem or step.waiting for step in steps)


def test_what_was_decided_is_in_the_ledger_and_moved_the_alias(
    told: tuple[World, list[Any], list[tuple[str, str]]],
) -> None:
    world, steps, _ = told
    recorded = ledger.decisions(world.plan.uri("ledger"))
    assert [decision.action for decision in recorded] == [step.decision.action for step in steps]
    assert steps[0].decision.action is Action.KEPT  # nothing to hold out
    assert steps[1].decision.action is Action.PROMOTED
    assert world.champion == steps[-1].decision.after
    rows = [*ledger.rows(world.plan.uri("ledger"))]
    assert {row.actor for row in rows} == {"ann"}
    # As the task `record` leaves it, which then has nothing to add.
    assert [row.partition for row in rows if row.kind is ledger.RowKind.DECISION] == [*KEYS]


def test_a_partition_is_scored_by_the_champion_of_its_time(
    told: tuple[World, list[Any], list[tuple[str, str]]],
) -> None:
    world, steps, _ = told
    assert [step.scoring.rows for step in steps] == [0, 0, world.rows["2013-03"].num_rows]
    predictions = tables.read(world.plan.uri("predictions"), partition="2013-03")
    champion = registry.version(world.client, "flights", str(steps[1].decision.after))
    loaded = models.load_version(world.client, champion)
    rows = tables.read(world.plan.uri("data"), partition="2013-03")
    expected = dict(
        zip(rows["flight"].to_pylist(), models.predict(loaded, rows, "classification"), strict=True)
    )
    scores = dict(zip(predictions["flight"].to_pylist(), predictions["score"].to_pylist(), strict=True))
    assert scores == expected


def test_pages_are_those_of_the_tasks(told: tuple[World, list[Any], list[tuple[str, str]]]) -> None:
    world, _, _ = told
    assert {
        "flights/2013-01/validation.html",
        "flights/2013-02/model_card.html",
        "flights/2013-03/drift.html",
    } <= set(world.pages)
    assert b"promoted" in world.pages["flights/2013-02/model_card.html"].lower()


def test_a_wind_that_does_no_harm_is_told_once(tmp_path: Path) -> None:
    monitor = {
        "drift": {"min_rows": 100, "columns": 0.2, "reference": "seen"},
        "performance": {"min_rows": 10},
    }
    world = World(tmp_path, monitor=monitor, retrain={"when": {"every": 100}})
    keys = ("2013-01", "2013-02", "2013-03", "2013-04")
    world.rows = {key: rows_of(key) if key < "2013-03" else shifted(key) for key in keys}
    march, last = [step.health for step in world.run(*keys)][2:]
    assert (march.drift.verdict, march.performance.verdict) == (Verdict.FAIL, Verdict.PASS)
    wind = next(check for check in march.columns if check.name == "drift.wind")
    assert wind.reason.endswith("of the importance")
    assert last.drift.verdict is Verdict.PASS


def test_what_was_decided_is_not_decided_again(told: tuple[World, list[Any], list[tuple[str, str]]]) -> None:
    world, _, _ = told
    april = month("2013-04")
    assert loop.undecided(world.plan, map(month, KEYS)) == ([], [])
    assert loop.undecided(world.plan, [april, month("2012-12")]) == ([april], [month("2012-12")])


def test_bad_rows_are_left_out_and_the_loop_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    negative = world.rows["2013-02"].set_column(
        2, "distance", pa.array([-1.0] * world.rows["2013-02"].num_rows)
    )
    world.rows["2013-02"] = negative
    del world.rows["2013-03"]
    first, bad, missing = world.run()
    assert first.decision is not None
    assert bad.validation.verdict is Verdict.FAIL
    assert "distance is below 0 in 237 rows" in bad.problem
    assert (bad.dataset, bad.decision) == (None, None)
    assert "2013-03" in missing.problem
    assert tables.published(world.plan.uri("data"), "2013-02") is None
    assert "flights/2013-02/validation.html" in world.pages


def test_a_training_that_cannot_succeed_says_why_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)
    for key, rows in world.rows.items():
        never = pa.array([False] * rows.num_rows)
        world.rows[key] = rows.set_column(rows.column_names.index("late"), "late", never)
    _, failed = world.run("2013-01", "2013-02")
    assert failed.decision.action is Action.FAILED
    [record] = [record for record in caplog.records if "the training failed" in record.getMessage()]
    assert failed.decision.reason in record.getMessage()
    assert not record.exc_info


def test_a_training_that_fails_is_a_decision_and_is_made_again(tmp_path: Path) -> None:
    world = World(tmp_path, train={"candidates": [{"sklearn.linear_model.LogisticRegression": {"C": -1}}]})
    _, failed = world.run("2013-01", "2013-02")
    assert failed.decision.action is Action.FAILED
    assert "C" in failed.problem
    assert loop.undecided(world.plan, map(month, KEYS[:2])) == ([month("2013-02")], [])
    world.change()
    (mended,) = world.run("2013-02")
    assert mended.decision.action is Action.PROMOTED
    assert world.champion == mended.decision.after


def test_the_loop_stops_where_a_person_has_to_approve(tmp_path: Path) -> None:
    world = World(tmp_path, gates={"approval": "one"})
    _, waiting = world.run()
    assert waiting.waiting == "Promote version 1 of flights? Partition 2013-02"
    assert waiting.decision is None
    assert world.champion is None
    assert loop.undecided(world.plan, map(month, KEYS))[0] == [month("2013-02"), month("2013-03")]
    (again,) = world.run("2013-02")
    assert again.waiting == waiting.waiting  # not trained a second time


@pytest.mark.thorough
def test_the_loop_stops_where_a_person_has_to_agree_to_train(tmp_path: Path) -> None:
    world = World(tmp_path, retrain={"when": {"every": 1}, "mode": "suggest"})
    steps = world.run()
    assert steps[1].decision.action is Action.PROMOTED  # nobody is asked about a first model
    assert steps[2].waiting.startswith("whether to train at 2013-03: ")
    assert steps[2].decision is None


@pytest.mark.thorough
def test_an_outage_ends_the_run_which_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)

    def away(*_: object, **__: object) -> None:
        raise RegistryUnavailable("MLflow does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(registry, "set_champion", away)
        with pytest.raises(RegistryUnavailable):
            world.run("2013-01", "2013-02")
    assert world.champion is None
    (step,) = world.run("2013-02")
    assert step.decision.action is Action.PROMOTED
    assert world.champion == "1"


@pytest.mark.thorough
def test_labels_that_come_late_are_taken_in(tmp_path: Path) -> None:
    labels = {key: rows_of(key).select(["flight", "departure", "late"]) for key in KEYS}

    def known(partition: Partition | None) -> pa.Table | None:
        assert partition is not None
        return labels.get(partition.key)

    world = World(tmp_path, labels={"source": {"python": "nowhere:labels"}})
    world.rows = {key: rows.drop_columns(["late"]) for key, rows in world.rows.items()}
    object.__setattr__(world.plan, "labels", PythonSource(known))
    steps = world.run()
    assert steps[1].decision.action is Action.PROMOTED, steps[1]
    assert steps[2].health.metrics["roc_auc"] is not None


def test_a_candidate_that_was_refused_by_a_hair_is_judged_again_without_a_training(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        retrain={"when": {"every": 1}, "cooldown": 0, "budget": "2 of 3"},
        # It measures a little worse than this champion, which is tolerated, and may be more so by chance.
        gates={"versus_champion": {"evidence": "adds_up", "margin": -0.003}},
    )
    world.rows["2013-04"] = rows_of("2013-04")
    *_, refused, again = [step.decision for step in world.run(*KEYS, "2013-04")]
    assert (refused.action, refused.candidate, refused.after) == (Action.REFUSED, "2", "1")
    assert (again.action, again.candidate, again.after) == (Action.REFUSED, "2", "1")
    [first], [second] = (
        [check for check in decision.checks if check.name == "evidence"] for decision in (refused, again)
    )
    assert (first.n, second.n) == (1, 2)
    assert first.observed != second.observed
    assert (trained(refused), trained(again)) == (True, False)
    assert {str(version.version) for version in registry.versions(world.client)} == {"1", "2"}
    # All rows since its cut are judged, and not those of April alone.
    [versus] = [check for check in again.checks if check.name == "versus_champion.roc_auc"]
    assert versus.n == rows_of("2013-03").num_rows + rows_of("2013-04").num_rows
    assert sentences.decided(again).startswith("judged version 2 again, not promoted: ")


def test_why_the_champion_fails_reaches_the_rule_that_rescues(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        monitor={"performance": {"floor": {"roc_auc": 0.999}, "min_rows": 50}},
        gates={"versus_champion": {"margin": 0.3, "rescue": {}}},
    )
    *_, decision = [step.decision for step in world.run()]
    [check] = [check for check in decision.checks if check.name == "rescue"]
    assert "the champion fails (2013-03: " in check.reason
    # Its candidate measures a little worse than the champion.
    assert (decision.action, check.verdict) == (Action.REFUSED, Verdict.FAIL)


def test_a_champion_is_recalibrated_beside_the_candidates_where_its_calibration_alone_asks(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, train={**SPEC["train"], "recalibrate": True})
    world.run("2013-01", "2013-02")
    world.change(retrain={"mode": "off"})
    [step] = world.run("2013-03")
    retrain = RetrainDecision(
        model="flights", partition="2013-03", retrain=True, checks=(), dataset=step.dataset, reason="r", recalibrates=True
    )  # fmt: skip
    candidates = list(training._candidates(world.plan, retrain))
    assert [candidate.keeps for candidate in candidates] == ["1", None]


def test_a_constant_takes_the_place_of_a_champion_that_fails_if_the_spec_says_so(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        monitor={"performance": {"floor": {"roc_auc": 0.7}, "min_rows": 50}},
        gates={"versus_champion": {"rescue": {"fallback": ["constant"]}}},
    )
    rows = world.rows["2013-03"]
    world.rows["2013-03"] = changed(rows, late=pc.invert(rows["late"]))
    *_, step = world.run()
    assert step.decision.action is Action.PROMOTED
    assert "rescue.fallback: the better bet" in step.decision.reason
    champion = registry.version(world.client, "flights", str(world.champion))
    assert champion.version == step.decision.after
    assert registry.training(world.client, champion).constant
    # Nothing is offered twice: that of a constant has no successor of its kind.
    retrain = RetrainDecision(
        model="flights", partition="2013-03", retrain=True, checks=(), dataset=step.dataset, reason="r", failing="a constant"
    )  # fmt: skip
    assert not any(candidate.constant for candidate in training._candidates(world.plan, retrain))
