from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset, BaseOperator
from airflow.sdk.exceptions import DownstreamTasksSkipped

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import Action, HealthReport
from airflow_mlops.domain.facts.retraining import RetrainDecision, suggested
from airflow_mlops.domain.spec.model import Gates, KofN, Retrain, RetrainWhen, VersusChampion
from airflow_mlops.domain.spec.retrain import Mode
from airflow_mlops.exceptions import SpecError, TableMissing
from airflow_mlops.operators.decide import DecideOperator
from airflow_mlops.stages.monitor import health
from contexts import Run, deploy
from history import MODEL, History

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

QUIET = Retrain(when=RetrainWhen(drift=KofN(1, 1)))


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch, mlflow=True)


def train_run(key: str | None = "2013-02", **changes: Any) -> Run:
    form = {"reason": None, "force": False, "record": False, "window": None}
    return Run(f"{MODEL}.train", key, form=form, **changes)


def decided(run: Run, **changes: Any) -> RetrainDecision:
    """Decide in a DAG of ``decide`` before ``train`` and ``record``."""
    arguments: dict[str, Any] = {"model": MODEL, "policy": QUIET, "skips": ["train"]}
    decide = DecideOperator(task_id="decide", dag=run.dag, **arguments | changes)
    decide >> [BaseOperator(task_id="train", dag=run.dag), BaseOperator(task_id="record", dag=run.dag)]
    skipped: list[Any] = []
    try:
        returned = run.execute_task(decide)
    except DownstreamTasksSkipped as skipping:
        skipped, returned = list(skipping.tasks), run.pushed["return_value"]
    decision = RetrainDecision.from_dict(returned)
    assert skipped == ([] if decision.judges else ["train"])
    return decision


def crown(history: History) -> None:
    history.publish("2013-01")
    history.crown(history.train(history.publish("2013-02")), "2013-02")


def test_a_first_model_is_trained_once_a_month_can_be_held_out(history: History) -> None:
    january = history.publish("2013-01")
    early = decided(train_run("2013-01"))
    assert not early.retrain
    assert "too little data" in early.reason
    assert (early.dataset, early.partition) == (january, "2013-01")
    february = history.publish("2013-02")
    decision = decided(run := train_run("2013-02"))
    assert decision.retrain
    assert run.pushed == {"dataset": february.to_dict()}


def test_labels_that_have_not_matured_make_the_data_too_little(history: History) -> None:
    history.publish("2013-01")
    history.publish("2013-02")
    decision = decided(train_run("2013-02"), delay=timedelta(days=40))
    assert not decision.retrain
    assert "too little data" in decision.reason


def test_with_a_champion_and_nothing_wrong_nothing_is_trained(history: History) -> None:
    crown(history)
    march = history.publish("2013-03")
    decision = decided(run := train_run("2013-03"))
    assert not decision.retrain
    assert "no rule asks for it" in decision.reason
    assert run.pushed["dataset"] == march.to_dict()


def test_a_candidate_that_was_refused_by_a_hair_goes_on_to_the_task_that_hands_it_out(
    history: History,
) -> None:
    crown(history)
    checks = (
        Check(name="versus_champion.roc_auc", verdict=Verdict.INCONCLUSIVE, expected="e", reason="r", observed=0.7, baseline=0.69),
        Check(name="evidence", verdict=Verdict.INCONCLUSIVE, expected="e", reason="r", observed=3.0, n=1),
    )  # fmt: skip
    history.publish("2013-03")
    history.decide("2013-03", Action.REFUSED, before="1", after="1", candidate="2", checks=checks)
    history.publish("2013-04")
    gates = Gates(versus_champion=VersusChampion(evidence="adds_up"))
    decision = decided(train_run("2013-04"), gates=gates)
    assert (decision.retrain, decision.version, decision.judges) == (False, "2", True)
    assert decision.evidence is not None
    assert decision.evidence.value == 3.0
    assert not decided(train_run("2013-04")).judges


def test_a_person_may_force_it_with_a_reason(history: History) -> None:
    crown(history)
    history.publish("2013-03")
    conf = {"force": True, "reason": "new aeroplanes", "window": None}
    decision = decided(train_run("2013-03", conf=conf))
    assert decision.retrain
    assert "new aeroplanes" in decision.reason


@pytest.mark.parametrize("action", [Action.KEPT, Action.REFUSED, Action.PROMOTED])
def test_a_settled_partition_is_not_decided_again_by_another_run(history: History, action: Action) -> None:
    for key in ("2013-01", "2013-02"):
        history.publish(key)
    # Of two run ids one may begin with the other.
    history.decide("2013-02", action, key=f"{MODEL}.train/run-10", reason="as it was")
    decision = decided(train_run())
    assert not decision.retrain
    assert decision.reason == f"2013-02 was decided before: {action}: as it was"
    assert decided(train_run(conf={"force": True})).retrain


def test_a_partition_before_the_last_decision_is_not_decided_any_more(history: History) -> None:
    for key in ("2013-01", "2013-02", "2013-03"):
        history.publish(key)
    history.decide("2013-03")
    decision = decided(train_run("2013-02"))
    assert not decision.retrain
    assert decision.reason.startswith(
        "later partitions, up to 2013-03, have been decided already, so nothing is trained"
    )
    assert 'start this DAG for it with {"record": true}' in decision.reason
    assert decided(train_run("2013-02", conf={"force": True})) == decision


def test_a_past_partition_is_decided_for_the_record_by_the_champion_of_its_time(history: History) -> None:
    for key in ("2013-01", "2013-02", "2013-03"):
        history.publish(key)
    history.crown(history.train(history.publish("2013-02")), "2013-03")
    # Of February there was no champion; the one of March is none of a first model's.
    decision = decided(train_run("2013-02", conf={"record": True}))
    assert decision.retrain
    assert decision.reason == "first_model: there is no champion yet"


def test_a_partition_that_was_passed_over_is_decided_for_the_record_once(history: History) -> None:
    for key in ("2013-01", "2013-02", "2013-03"):
        history.publish(key)
    history.decide("2013-03")
    history.decide("2013-02", reason="later partitions have been decided already")
    assert decided(train_run("2013-02", conf={"record": True})).retrain
    judged = Check(name="floor.roc_auc", verdict=Verdict.PASS, expected="0.6", reason="good")
    history.decide("2013-02", Action.RECORDED, checks=(judged,), reason="for the record", key="another/run")
    again = decided(train_run("2013-02", conf={"record": True}))
    assert not again.retrain
    assert again.reason == "2013-02 was decided before: recorded: for the record"
    assert decided(train_run("2013-02", conf={"record": True, "force": True})).retrain


def test_the_latest_partition_is_not_decided_for_the_record(history: History) -> None:
    for key in ("2013-01", "2013-02"):
        history.publish(key)
    history.decide("2013-02")
    with pytest.raises(SpecError, match="record: no partition after 2013-02 has been decided"):
        decided(train_run("2013-02", conf={"record": True}))


def test_who_asks_for_the_record_has_said_yes_to_what_is_only_suggested(history: History) -> None:
    history.publish("2013-01")
    history.crown(history.train(history.publish("2013-02")), "2013-02")
    for key in ("2013-03", "2013-04"):
        history.publish(key)
    drifted(history, "2013-03")
    history.decide("2013-04")
    policy = QUIET.model_copy(update={"mode": Mode.SUGGEST})
    decision = decided(train_run("2013-03", conf={"record": True}), policy=policy)
    assert decision.retrain
    assert not suggested(decision)


def test_a_retry_of_the_run_that_decided_decides_again(history: History) -> None:
    for key in ("2013-01", "2013-02"):
        history.publish(key)
    history.decide("2013-02", Action.REFUSED, key=f"{MODEL}.train/run-1/promote")
    assert decided(train_run()).retrain


def test_a_partition_whose_run_failed_is_decided_again(history: History) -> None:
    for key in ("2013-01", "2013-02"):
        history.publish(key)
    history.decide("2013-02", Action.FAILED, key=f"{MODEL}.train/another")
    assert decided(train_run()).retrain


def test_a_run_without_a_partition_works_on_the_latest(history: History) -> None:
    for key in ("2013-02", "2013-01"):
        history.publish(key)
    assert decided(train_run(None)).partition == "2013-02"
    assert decided(train_run(None), partition="2013-01").partition == "2013-01"


@pytest.mark.parametrize(
    ("conf", "key"),
    [
        ({"forec": True}, "forec"),
        ({"force": "yes"}, "force"),
        ({"window": float("nan")}, "window"),
        ({"window": 2.0}, "window"),
        ({"window": 0}, "window"),
        ({"reason": 7}, "reason"),
    ],
)
def test_a_request_that_airflow_lets_pass_is_refused_by_its_key(
    history: History, conf: dict[str, Any], key: str
) -> None:
    for month_key in ("2013-01", "2013-02"):
        history.publish(month_key)
    with pytest.raises(SpecError, match=key):
        decided(train_run(conf=conf))


def test_without_data_there_is_nothing_to_decide_on() -> None:
    with pytest.raises(TableMissing, match=r"run flights.ingest first"):
        decided(train_run())


def drifted(history: History, key: str) -> None:
    """Record that the data of a partition has drifted."""
    bad, good = (
        Check(name="c", verdict=each, expected="e", reason="r") for each in (Verdict.FAIL, Verdict.PASS)
    )
    report = HealthReport(
        model=MODEL, partition=key, champion=None, verdict=Verdict.FAIL, drift=bad, performance=good, staleness=good,
        reason="r",
    )  # fmt: skip
    health.record(history.uri("monitoring"), report)


def test_the_recorded_health_is_what_the_policy_judges_and_the_answer_is_a_metric(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[str, float] = {}
    monkeypatch.setattr("airflow.sdk.observability.stats.gauge", sent.__setitem__)
    crown(history)
    history.publish("2013-03")
    drifted(history, "2013-03")
    assert decided(train_run("2013-03")).retrain
    assert sent == {"mlops.flights.retrain": 1}
    held = QUIET.model_copy(update={"mode": Mode.OFF})
    assert not decided(train_run("2013-03"), policy=held).retrain
    assert sent == {"mlops.flights.retrain": 0}


def test_a_suggestion_trains_nothing_unless_a_person_wants_it(history: History) -> None:
    crown(history)
    history.publish("2013-03")
    drifted(history, "2013-03")
    decision = decided(train_run("2013-03"), policy=QUIET.model_copy(update={"mode": Mode.SUGGEST}))
    assert not decision.retrain
    assert suggested(decision)


def test_labels_count_as_new_once_they_have_matured(history: History) -> None:
    crown(history)
    history.publish("2013-03")
    rows = Retrain(when=RetrainWhen(rows=260))
    assert decided(train_run("2013-03"), policy=rows).retrain
    assert not decided(train_run("2013-03"), policy=rows, delay=timedelta(days=35)).retrain


CARRIERS = Asset("crm/carriers")


class Triggered(Run):
    """A run of March that events of assets have started."""

    def __init__(self, events: dict[Asset, Any]) -> None:
        super().__init__(f"{MODEL}.train", "2013-03", form={"force": False})
        self.events = events

    def context(self, task: BaseOperator | None = None) -> Any:
        return super().context(task) | {"triggering_asset_events": self.events}


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"reason": "two  new\ncarriers"}, "requested: two new carriers"),
        ({"reason": "x" * 9999}, f"requested: {'x' * 500}"),
        ({"reason": 7}, "requested: an event of the asset crm/carriers"),
        (None, "requested: an event of the asset crm/carriers"),
    ],
)
def test_an_event_of_another_asset_asks_for_retraining_and_says_why(
    history: History, extra: dict[str, Any] | None, reason: str
) -> None:
    for key in ("2013-02", "2013-03"):
        history.publish(key)
    history.decide("2013-03")
    events = {CARRIERS: [SimpleNamespace(extra=extra)], Asset("flights/health"): [SimpleNamespace(extra={})]}
    decision = decided(Triggered(events), requests=[CARRIERS])
    assert decision.retrain
    assert decision.reason == f"first_model: there is no champion yet; {reason}"
    assert not decided(Triggered(events)).retrain
