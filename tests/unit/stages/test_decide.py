from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.checks import Check, Verdict, overall
from airflow_mlops.domain.facts.results import (
    Action,
    DatasetVersion,
    HealthReport,
    ModelRef,
    PromotionDecision,
    TrainingData,
)
from airflow_mlops.domain.facts.retraining import RetrainDecision, TrainableRows, suggested
from airflow_mlops.domain.spec.model import Gates, KofN, Rescue, Retrain, RetrainWhen, VersusChampion
from airflow_mlops.domain.spec.retrain import Mode
from airflow_mlops.stages import decide
from airflow_mlops.stores.tables import tables
from history import MODEL, History, make_decision, rows_of, shifted
from synthetic import JANUARY

CHAMPION = ModelRef(model=MODEL, version="1", digest="a" * 64, run_id="r", trained_through="2013-02")
DRIFTS = Retrain(when=RetrainWhen(drift=KofN(1, 1)), cooldown=1)
SHORTAGE = "2013-06: 3 rows to train on"


def make_dataset(key: str = "2013-06") -> DatasetVersion:
    return DatasetVersion(
        name=MODEL, uri="file:///nowhere", version=7, grain="month", partition=key, rows=10, digest="d", columns={},
        key=("flight",), event_time="departure",
    )  # fmt: skip


def make_health(*drift: Verdict, performance: Verdict = Verdict.PASS) -> list[HealthReport]:
    def check(name: str, verdict: Verdict) -> Check:
        return Check(name=name, verdict=verdict, expected="e", reason="r")

    return [
        HealthReport(
            model=MODEL, partition="2013-06", champion=CHAMPION, drift=check("drift", verdict),
            verdict=overall((check("drift", verdict), check("performance", performance))),
            performance=check("performance", performance), staleness=check("staleness", Verdict.PASS), reason="r",
        )
        for verdict in drift
    ]  # fmt: skip


def decided(*decisions: PromotionDecision, **changes: Any) -> RetrainDecision:
    settings: dict[str, Any] = {
        "model": MODEL,
        "dataset": make_dataset(),
        "champion": CHAMPION,
        "policy": DRIFTS,
        "health": make_health(Verdict.FAIL),
        "decisions": decisions,
    }
    return decide.decide(**settings | changes)


TESTED = "the p of a recalibration is below its level"


def failing_by(reason: str, *others: str) -> list[HealthReport]:
    """Return the report of a performance that fails, and of tests that do."""
    [report] = make_health(Verdict.PASS, performance=Verdict.FAIL)
    tests = (Check(name=name, verdict=Verdict.FAIL, expected="e", reason=TESTED) for name in others)
    performance = report.performance.model_copy(update={"reason": reason})
    return [report.model_copy(update={"performance": performance, "others": tuple(tests)})]


@pytest.mark.parametrize(
    ("health", "recalibrates"),
    [
        (failing_by(f"calibration: {TESTED}", "calibration"), True),
        (
            failing_by(f"calibration: {TESTED}; decay.roc_auc: {TESTED}", "calibration", "decay.roc_auc"),
            False,
        ),
        (
            failing_by(
                f"decay.log_loss: {TESTED}; worthless.brier: {TESTED}; calibration: {TESTED}",
                "decay.log_loss",
                "worthless.brier",
                "calibration",
            ),
            True,
        ),
        (failing_by(f"decay.log_loss: {TESTED}", "decay.log_loss"), False),
        (failing_by(f"roc_auc below its floor; calibration: {TESTED}", "calibration"), False),
        (failing_by("roc_auc below its floor"), False),
        (make_health(Verdict.FAIL), False),
    ],
    ids=[
        "calibration alone",
        "ranks too",
        "what it costs too",
        "what it may not be",
        "floor too",
        "floor",
        "drift",
    ],
)
def test_a_recalibration_is_tried_where_nothing_fails_that_it_cannot_mend(
    health: list[HealthReport], recalibrates: bool
) -> None:
    policy = Retrain(when=RetrainWhen(performance=KofN(k=1, n=1), drift=KofN(k=1, n=1)))
    decision = decided(health=health, policy=policy, recalibrate=True)
    assert (decision.retrain, decision.recalibrates) == (True, recalibrates)
    assert RetrainDecision.from_dict(decision.to_dict()) == decision
    assert not decided(health=health, policy=policy).recalibrates
    assert not decided(health=health, policy=policy, recalibrate=True, force=True).recalibrates
    assert not decided(health=health, policy=policy, recalibrate=True, champion=None).recalibrates


@pytest.mark.parametrize(("other", "recalibrates"), [("growth", True), ("age", False)])
def test_growth_may_ask_beside_the_calibration_and_age_may_not(other: str, recalibrates: bool) -> None:
    checks = [
        Check(name=f"retrain.{rule}", verdict=Verdict.FAIL, expected="e", reason="r")
        for rule in ("performance", other)
    ]
    health = failing_by(f"calibration: {TESTED}", "calibration")
    assert decide._by_calibration(checks, CHAMPION, health) is recalibrates


def observed(decision: RetrainDecision, rule: str) -> float | None:
    return next(check.observed for check in decision.checks if check.name == f"retrain.{rule}")


def test_drift_retrains_and_the_decision_pins_the_data() -> None:
    decision = decided()
    assert decision.retrain
    assert (decision.partition, decision.dataset) == ("2013-06", make_dataset())
    assert "drift: 1 of the last 1 failed" in decision.reason
    assert observed(decision, "cooldown") is None


@pytest.mark.parametrize("action", [Action.PROMOTED, Action.CHALLENGING, Action.REFUSED, Action.FAILED])
def test_an_attempt_one_partition_ago_holds_an_automatic_retrain_back(action: Action) -> None:
    decision = decided(make_decision("2013-05", action))
    assert not decision.retrain
    assert observed(decision, "cooldown") == 1
    assert "cooldown: last attempt 1 partition ago, cooldown 1" in decision.reason


@pytest.mark.parametrize("action", [Action.KEPT, Action.ROLLED_BACK])
def test_what_trained_nothing_is_no_attempt(action: Action) -> None:
    decision = decided(make_decision("2013-03", Action.REFUSED), make_decision("2013-05", action))
    assert decision.retrain
    assert observed(decision, "cooldown") == 3


def test_a_challenger_that_became_champion_was_trained_when_its_trial_began() -> None:
    windows = Check(name="shadow.windows", verdict=Verdict.PASS, expected=">= 2", reason="2 of 2")
    crowned = make_decision("2013-05", Action.PROMOTED, checks=(windows,))
    decision = decided(make_decision("2013-02", Action.CHALLENGING), crowned)
    assert observed(decision, "cooldown") == 4


def test_attempts_at_this_partition_or_later_do_not_count() -> None:
    attempts = [make_decision(key, Action.PROMOTED) for key in ("2013-04", "2013-06", "2013-07")]
    decision = decided(*attempts)
    assert decision.retrain
    assert observed(decision, "cooldown") == 2


def test_a_shortage_of_data_stops_an_automatic_retrain_and_says_both_reasons() -> None:
    decision = decided(trainable=TrainableRows(None, SHORTAGE))
    assert not decision.retrain
    for part in ("too little data", SHORTAGE, "drift: 1 of the last 1 failed"):
        assert part in decision.reason


def test_a_shortage_is_not_mentioned_where_nothing_asks_for_retraining() -> None:
    assert (
        SHORTAGE
        not in decided(health=make_health(Verdict.PASS), trainable=TrainableRows(None, SHORTAGE)).reason
    )


def test_a_forced_retrain_is_stopped_neither_by_a_shortage_nor_by_the_cooldown() -> None:
    refused = make_decision("2013-05", Action.REFUSED)
    decision = decided(refused, trainable=TrainableRows(None, SHORTAGE), force=True, reason="new aeroplanes")
    assert decision.retrain
    assert "requested: new aeroplanes" in decision.reason


def test_a_reason_without_force_asks_for_nothing() -> None:
    assert not decided(health=make_health(Verdict.PASS), reason="please").retrain


def test_a_first_model_is_trained_once_there_is_enough_data() -> None:
    settings = {"champion": None, "health": []}
    assert not decided(**settings, trainable=TrainableRows(None, SHORTAGE)).retrain
    decision = decided(make_decision("2013-05", Action.FAILED), **settings)
    assert decision.retrain
    assert "there is no champion yet" in decision.reason


def test_drift_and_performance_have_histories_of_their_own() -> None:
    lasting = Retrain(when=RetrainWhen(drift=KofN(2, 3), performance=KofN(2, 3)))
    drifts = make_health(Verdict.FAIL, Verdict.PASS, Verdict.FAIL)
    assert (
        "drift: 2 of the last 3 failed (FAIL, PASS, FAIL, newest first)"
        in decided(policy=lasting, health=drifts).reason
    )
    ended = make_health(Verdict.PASS, Verdict.FAIL, Verdict.FAIL)
    assert not decided(policy=lasting, health=ended).retrain
    weak = make_health(Verdict.PASS, Verdict.PASS, performance=Verdict.FAIL)
    assert "performance: 2 of the last 3 failed" in decided(policy=lasting, health=weak).reason


@pytest.mark.parametrize(("key", "due"), [("2013-04", False), ("2013-05", True)])
def test_age_counts_partitions_since_the_champions_training_data_ended(key: str, due: bool) -> None:
    every = Retrain(when=RetrainWhen(every=3))
    assert decided(policy=every, dataset=make_dataset(key), health=[]).retrain is due


WEEK = timedelta(days=7)


def test_new_rows_are_those_whose_labels_have_matured_since_a_training(tmp_path: Path) -> None:
    history = History(tmp_path)
    for key in ("2013-01", "2013-02", "2013-03"):
        history.publish(key)
    february = tables.published(history.uri("data"), "2013-02")
    assert february is not None
    assert decide.fresh(february, "2013-01", timedelta(0)) == (rows_of("2013-02").num_rows, False)
    late = decide.fresh(february, "2013-01", WEEK)
    assert late is not None
    assert 0 < late.rows < rows_of("2013-01").num_rows + rows_of("2013-02").num_rows
    assert decide.fresh(february, "2013-02", WEEK) == (0, False)
    assert decide.fresh(february, None, WEEK) is None


def test_a_corrected_partition_is_new_also_without_new_rows(tmp_path: Path) -> None:
    history = History(tmp_path)
    for key in ("2013-01", "2013-02"):
        february = history.publish(key)
    assert decide.fresh(february, "2013-01", timedelta(0)) == (rows_of("2013-02").num_rows, False)
    history.publish("2013-01", shifted("2013-01"))
    again = history.publish("2013-02", shifted("2013-02"))
    assert decide.fresh(again, "2013-01", timedelta(days=365)) == (0, True)
    assert decide.fresh(february, "2013-01", timedelta(days=365)) == (0, False)


def test_a_correction_that_the_last_training_has_seen_is_not_new(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.publish("2013-01")
    history.publish("2013-01", shifted("2013-01"))
    trained = history.publish("2013-02", shifted("2013-02"))
    again = history.publish("2013-02")
    training = TrainingData(dataset=trained, start=JANUARY, cut=JANUARY, features=())
    refused = make_decision("2013-01", Action.REFUSED, trained_on=training)
    policy = Retrain(when=RetrainWhen(every=1), cooldown=0, skip_unchanged=True)
    facts = {"policy": policy, "health": [], "delay": timedelta(days=365)}
    assert not decided(refused, **facts, dataset=trained).retrain
    later = make_decision("2013-02", Action.REFUSED, trained_on=training)
    assert not decided(
        later, **facts, dataset=again.model_copy(update={"partition": "2013-03", "version": trained.version})
    ).retrain
    assert decided(later, **facts, dataset=again.model_copy(update={"partition": "2013-03"})).retrain
    history.publish("2013-02", shifted("2013-02"))
    restored = history.publish("2013-03")
    assert not decided(later, **facts, dataset=restored).retrain


def test_the_data_is_looked_at_only_where_the_policy_asks_for_it(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.publish("2013-01")
    february = history.publish("2013-02")
    champion = CHAMPION.model_copy(update={"trained_through": "2013-01"})
    facts = {"dataset": february, "champion": champion, "health": []}
    few, many = (Retrain(when=RetrainWhen(rows=rows)) for rows in (100, 1000))
    assert decided(**facts, policy=few).retrain
    assert not decided(**facts, policy=many).retrain
    assert not decided(**facts, policy=few, delay=timedelta(days=60)).retrain
    quiet = Retrain(when=RetrainWhen(every=1), skip_unchanged=True)
    assert decided(**facts, policy=quiet).retrain
    held = decided(**facts, policy=quiet, delay=timedelta(days=365))
    assert not held.retrain
    assert "new_data: 0 rows whose labels have matured" in held.reason


RESCUES = Gates(versus_champion=VersusChampion(rescue=Rescue()))


def test_why_the_champion_fails_is_handed_on_to_gates_that_ask() -> None:
    failing = make_health(Verdict.PASS, performance=Verdict.FAIL)
    assert decided(health=failing, gates=RESCUES).failing == "2013-06: r"
    assert decided(health=failing, gates=Gates()).failing == ""
    assert "failing" not in decided(health=failing, gates=Gates()).to_dict()
    assert decided(health=make_health(Verdict.PASS), gates=RESCUES).failing == ""


def test_how_another_version_did_says_nothing_of_the_champion() -> None:
    failing = make_health(Verdict.PASS, performance=Verdict.FAIL)
    restored = CHAMPION.model_copy(update={"version": "7"})
    assert decided(health=failing, gates=RESCUES, champion=restored).failing == ""
    assert decided(health=failing, gates=RESCUES, champion=None).failing == ""


ADDS_UP = Gates(versus_champion=VersusChampion(evidence="adds_up"))


def refused_by_a_hair(partition: str) -> PromotionDecision:
    checks = (
        Check(name="versus_champion.roc_auc", verdict=Verdict.INCONCLUSIVE, expected="e", reason="r", observed=0.7, baseline=0.69),
        Check(name="evidence", verdict=Verdict.INCONCLUSIVE, expected="e", reason="r", observed=3.0, n=1),
    )  # fmt: skip
    return make_decision(partition, Action.REFUSED, before="1", after="1", candidate="5", checks=checks)


def test_a_candidate_that_was_refused_by_a_hair_is_judged_again_where_evidence_adds_up() -> None:
    settings: dict[str, Any] = {"health": make_health(Verdict.PASS), "delay": timedelta(days=7)}
    decision = decided(refused_by_a_hair("2013-05"), gates=ADDS_UP, **settings)
    assert (decision.retrain, decision.version, decision.judges) == (False, "5", True)
    assert decision.again is not None
    assert decision.reason.startswith("version 5, trained at 2013-05")
    assert decision.evidence is not None
    assert (decision.evidence.value, decision.evidence.looks) == (3.0, 1)
    assert RetrainDecision.from_dict(decision.to_dict()) == decision
    alone = decided(refused_by_a_hair("2013-05"), gates=Gates(), **settings)
    assert (alone.version, alone.judges, alone.evidence) == (None, False, None)
    assert alone.to_dict() == decided(refused_by_a_hair("2013-05"), **settings).to_dict()


def test_a_training_that_is_due_comes_before_a_former_candidate() -> None:
    decision = decided(
        refused_by_a_hair("2013-02"), gates=ADDS_UP, policy=Retrain(when=RetrainWhen(drift=KofN(1, 1)))
    )
    assert (decision.retrain, decision.version, decision.again) == (True, None, None)
    assert decision.evidence is not None


def test_where_people_alone_start_trainings_no_candidate_is_judged_again_by_itself() -> None:
    off = Retrain(when=RetrainWhen(drift=KofN(1, 1)), mode=Mode.OFF)
    assert not decided(refused_by_a_hair("2013-05"), gates=ADDS_UP, policy=off).judges
    suggests = off.model_copy(update={"mode": Mode.SUGGEST})
    asked = decided(refused_by_a_hair("2013-02"), gates=ADDS_UP, policy=suggests)
    assert suggested(asked)
    assert not asked.judges
