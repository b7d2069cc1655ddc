from __future__ import annotations

from typing import Any

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.replay import Served, Step, Summary, below, best, summarise, summarise_oracle
from airflow_mlops.domain.facts.results import (
    Action,
    DatasetVersion,
    HealthReport,
    ModelRef,
    PromotionDecision,
)
from airflow_mlops.domain.facts.retraining import RetrainDecision

MODEL = ModelRef(model="flights", version="1", digest="d", run_id="r", trained_through="2013-01")
YARDSTICK: dict[str, Any] = {"metric": "roc_auc", "floor": {"roc_auc": 0.6}, "grain": "month"}


def check(name: str, verdict: str) -> Check:
    return Check(name=name, verdict=Verdict(verdict), expected="", reason="")


def step(
    partition: str,
    quality: float | None,
    action: Action = Action.KEPT,
    *,
    drift: str = "PASS",
    performance: str = "PASS",
    trained: tuple[str, ...] = (),
    checks: tuple[Check, ...] = (),
) -> Step:
    dataset = DatasetVersion(
        name="flights", uri="file:///x", version=0, grain="month", partition=partition, rows=1, digest="d", columns={},
        key=("flight",), event_time="at",
    )  # fmt: skip
    health = HealthReport(
        model="flights", partition=partition, champion=MODEL, drift=check("drift", drift), reason="",
        performance=check("performance", performance), staleness=check("staleness", "PASS"),
        verdict=Verdict.FAIL if "FAIL" in (drift, performance) else Verdict.PASS,
    )  # fmt: skip
    retrain = RetrainDecision(
        model="flights", partition=partition, retrain=bool(trained), checks=(), dataset=dataset, reason=""
    )
    decision = PromotionDecision(
        model="flights", partition=partition, action=action, before=None, after=None, reason="", checks=checks
    )
    return Step(
        partition=partition, served=MODEL if quality is not None else None, health=health, retrain=retrain,
        quality={} if quality is None else {"roc_auc": quality}, decision=decision, champion=MODEL, trained=trained,
        seconds=2.0 if trained else 0.0,
    )  # fmt: skip


def test_a_summary_counts_what_a_policy_did_and_what_became_of_it() -> None:
    found = summarise(
        "patient",
        [
            step("2013-01", None, Action.PROMOTED, trained=("1",)),
            step("2013-02", 0.7, drift="FAIL", performance="FAIL"),
            step("2013-03", 0.5, Action.REFUSED, drift="FAIL", trained=("2",)),
            step("2013-04", 0.66),
        ],
        **YARDSTICK,
    )
    assert found == Summary(
        name="patient", served=3, retrainings=2, promotions=1, refused=1, rollbacks=0, alarms=2, drift_alarms=2,
        performance_alarms=1, mean=(0.7 + 0.5 + 0.66) / 3, worst=0.5, worst_partition="2013-03",
        degraded=1, degraded_days=31.0, seconds=4.0,
    )  # fmt: skip


def test_a_summary_names_the_gates_that_refused_and_how_often() -> None:
    better, weak = check("versus_champion.roc_auc", "INCONCLUSIVE"), check("floor.roc_auc", "FAIL")
    found = summarise(
        "patient",
        [
            step("2013-01", None, Action.PROMOTED, trained=("1",), checks=(weak,)),
            step("2013-02", 0.7, Action.REFUSED, trained=("2",), checks=(check("leakage", "PASS"), better)),
            step("2013-03", 0.7, Action.REFUSED, trained=("3",), checks=(better, better, weak)),
            step("2013-04", 0.7, Action.KEPT, checks=(weak,)),
        ],
        **YARDSTICK,
    )
    assert list(found.gates.items()) == [("versus_champion.roc_auc", 2), ("floor.roc_auc", 1)]
    assert "gates" not in summarise("x", [step("2013-01", 0.7)], **YARDSTICK).to_dict()


def test_without_a_floor_nothing_is_degraded_and_without_a_model_nothing_is_known() -> None:
    found = summarise("x", [step("2013-01", None)], metric="roc_auc", floor={}, grain="month")
    assert (found.degraded, found.degraded_days, found.mean, found.worst, found.served) == (
        None,
        None,
        None,
        None,
        0,
    )


def test_the_worst_value_of_a_loss_is_the_largest() -> None:
    served = [Served(partition=f"2013-0{n}", model="a", quality={"log_loss": n / 10}) for n in (1, 3, 2)]
    found = summarise_oracle(served, metric="log_loss", floor={"log_loss": 0.15}, grain="month")
    assert (found.worst, found.worst_partition, found.degraded) == (0.3, "2013-03", 2)


def test_the_oracle_counts_the_models_that_it_uses_and_its_changes() -> None:
    served = [
        Served(partition=f"2013-0{n}", model=model) for n, model in enumerate([None, "a", "b", "b", "a"], 1)
    ]
    found = summarise_oracle(served, **YARDSTICK)
    assert (found.retrainings, found.promotions, found.alarms) == (2, 3, 0)


def test_the_best_model_is_the_earlier_of_equals_and_never_one_without_a_value() -> None:
    found = [("a", {"roc_auc": None}), ("b", {"roc_auc": 0.7}), ("c", {"roc_auc": 0.7}), ("d", {})]
    assert best(found, "roc_auc") == "b"
    assert best([("a", {"rmse": 2.0}), ("b", {"rmse": 1.0})], "rmse") == "b"
    assert best([], "roc_auc") is None


def test_a_metric_that_is_undefined_is_not_below_its_floor() -> None:
    assert not below({"roc_auc": None}, {"roc_auc": 0.6})
    assert below({"rmse": 3.0}, {"rmse": 2.0})
