from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow._shared.timezones.timezone import coerce_datetime
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import TimeRestriction

from airflow_mlops import DataSpec, ModelSpec, MonitoringSpec, Partition, continuous_training, exceptions
from airflow_mlops.pipelines.retry import RETRIES, RETRY_POLICY


def make_spec(**changes: Any) -> ModelSpec:
    values: dict[str, Any] = {
        "name": "parcels",
        "task": "classification",
        "target": "late",
        "key": ["id"],
        "event_time": "at",
        "partition": "month",
        "start": "2013-01",
        "end": "2013-12",
        "source": {"python": "somewhere:rows"},
    }
    return ModelSpec.from_dict(values | changes)


def build(**changes: Any) -> dict[str, DAG]:
    return {dag.dag_id: dag for dag in continuous_training(make_spec(**changes))}


def test_a_spec_becomes_five_dags_chained_by_assets() -> None:
    dags = build()
    assert list(dags) == [f"parcels.{stage}" for stage in ("ingest", "score", "monitor", "train", "rollback")]
    outlets = {
        asset.name: task.dag_id for dag in dags.values() for task in dag.tasks for asset in task.outlets
    }
    for name, consumer in (("data", "score"), ("predictions", "monitor"), ("health", "train")):
        assert dags[f"parcels.{consumer}"].timetable.asset_condition.name == f"parcels/{name}"
        assert f"parcels/{name}" in outlets


def test_the_task_that_records_keeps_the_spec_for_a_later_plan() -> None:
    assert build()["parcels.train"].get_task("record").spec == make_spec()


def test_only_one_run_of_a_stage_is_active_and_nothing_is_caught_up() -> None:
    for dag in build().values():
        assert dag.max_active_runs == 1
        assert dag.catchup is False


def test_the_first_run_comes_when_the_first_partition_has_ended_and_the_last_in_the_period_after() -> None:
    dag = build()["parcels.ingest"]
    assert dag.start_date == datetime(2013, 2, 1, tzinfo=UTC)
    assert datetime(2014, 1, 31, tzinfo=UTC) < dag.end_date < datetime(2014, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("timezone", "cron"),
    [
        ("Europe/Berlin", "0 0 * * *"),
        ("Asia/Kolkata", "0 0 * * *"),
        # Clocks skip midnight there on 29 March 2026, and Airflow would leave out the 28th.
        ("Asia/Beirut", "0 1 * * *"),
    ],
)
def test_local_days_have_one_run_each_under_their_own_key(timezone: str, cron: str) -> None:
    first, last = (Partition.parse(key, f"day {timezone}") for key in ("2026-03-27", "2026-03-31"))
    dag = build(partition="day", start=first.key, end=last.key, timezone=timezone)["parcels.ingest"]
    assert dag.timetable.expression == cron
    timetable = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).timetable
    bounds = TimeRestriction(coerce_datetime(dag.start_date), coerce_datetime(dag.end_date), catchup=True)
    runs, run = {}, None
    while (run := timetable.next_dagrun_info_v2(last_dagrun_info=run, restriction=bounds)) is not None:
        runs[run.partition_key] = run.run_after
    assert list(runs) == [partition.key for partition in first.through(last)]
    assert all(runs[partition.key] >= partition.end for partition in first.through(last))


def test_a_backfill_of_local_days_has_the_keys_and_the_beginnings_of_the_days() -> None:
    first, last = (Partition.parse(key, "day Europe/Berlin") for key in ("2024-10-25", "2024-10-29"))
    dag = build(partition="day", start=first.key, end=last.key, timezone="Europe/Berlin")["parcels.ingest"]
    timetable = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).timetable
    runs = timetable.iter_partition_dagrun_infos(
        earliest=datetime(2024, 10, 25, tzinfo=UTC), latest=datetime(2024, 10, 29, tzinfo=UTC)
    )
    days = [(run.partition_key, run.partition_date) for run in runs]
    assert days == [(partition.key, partition.start) for partition in first.through(last)]


def test_the_time_zone_reaches_every_task_that_reads_times() -> None:
    labels = {"labels": {"source": {"files": "/labels/{partition}.csv"}, "delay": "P1D"}}
    dags = build(
        partition="day",
        start="2026-03-27",
        end="2026-03-31",
        timezone="Europe/Berlin",
        ambiguous="later",
        **labels,
    )
    for task in (dags["parcels.ingest"].get_task("ingest"), dags["parcels.monitor"].get_task("labels")):
        assert (task.grain, task.ambiguous) == ("day Europe/Berlin", "later")


def test_a_task_process_builds_only_the_dag_of_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "parcels.score")
    assert list(build()) == ["parcels.score"]
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "another.score")
    assert build() == {}


def test_the_train_form_asks_for_reason_force_and_window() -> None:
    params = build()["parcels.train"].params
    assert set(params) == {"reason", "force", "record", "window"}
    assert params.get_param("window").schema["minimum"] == 1


def test_a_recalibration_is_one_more_candidate() -> None:
    former = build()["parcels.train"]
    train = build(train={"recalibrate": True})["parcels.train"]
    assert train.get_task("decide").recalibrate
    candidates = [dag.get_task("train").expand_input.value["candidate"] for dag in (former, train)]
    assert candidates[1] == [*candidates[0], "recalibration"]
    assert train.get_task("train").partial_kwargs["retrain"] is not None
    assert "retrain" not in former.get_task("train").partial_kwargs


def test_a_constant_is_one_more_candidate_where_the_spec_falls_back_to_it() -> None:
    gates = {"versus_champion": {"rescue": {"fallback": ["constant"]}}}
    former, train = (dags["parcels.train"].get_task("train") for dags in (build(), build(gates=gates)))
    candidates = [task.expand_input.value["candidate"] for task in (former, train)]
    assert candidates[1] == [*candidates[0], "constant"]
    assert train.partial_kwargs["retrain"] is not None


def test_several_windows_reach_the_tasks_in_one_word() -> None:
    train = build(train={"window": ["all", 12, 3]})["parcels.train"]
    assert train.get_task("decide").window == "{{ params.window or 'all,12,3' }}"
    description = train.params.get_param("window").description
    assert "all, 12 or 3, whichever predicts the newest training partition best" in description


def test_ingest_waits_for_its_data_if_asked() -> None:
    assert "wait" not in build()["parcels.ingest"].task_ids
    files = {"files": "/data/{partition}.csv", "wait": "PT6H"}
    wait = build(source=files)["parcels.ingest"].get_task("wait")
    assert (wait.timeout, wait.deferrable, wait.downstream_task_ids) == (6 * 3600, True, {"ingest"})


def test_what_the_spec_says_of_its_data_reaches_the_tasks() -> None:
    quality = {"transform": "prepare:rows", "schema": "add", "pii": ["email"], "max_quarantined": 0.2}
    dag = build(**quality, skew={"threshold": 0.7})["parcels.ingest"]
    ingest, validate = dag.get_task("ingest"), dag.get_task("validate")
    assert (ingest.transform, ingest.schema) == ("prepare:rows", "add")
    assert (validate.pii, validate.max_quarantined, validate.model) == (("email",), 0.2, "parcels")
    assert validate.skew.threshold == 0.7


def test_a_decision_reaches_every_task_that_cuts_probabilities_or_counts_costs() -> None:
    spec = {
        "decision": {"costs": {"false_positive": 1, "false_negative": 20}},
        "score": {"shadow": True},
        "monitor": {"rollback": {}},
    }
    dags, decision = build(**spec), make_spec(**spec).decision
    train = dags["parcels.train"].get_task("train")
    assert train.partial_kwargs["decision"] == decision
    for name in ("performance", "shadow", "guard"):
        assert dags["parcels.monitor"].get_task(name).decision == decision
    for dag in dags.values():
        DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))


@pytest.mark.parametrize("alerts", [{"email": ["a@example.com"]}, {"warnings": ["a@example.com"]}])
def test_whoever_is_to_be_told_of_anything_has_an_alert_in_every_dag(alerts: dict[str, Any]) -> None:
    assert all("alert" in dag.task_ids for dag in build(alerts=alerts).values())


def test_nobody_to_tell_is_no_alert() -> None:
    assert not any("alert" in dag.task_ids for dag in build().values())


def test_an_approval_stands_between_evaluation_and_promotion() -> None:
    assert "approve" not in build()["parcels.train"].task_ids
    dag = build(gates={"approval": "one"})["parcels.train"]
    assert dag.get_task("approve").upstream_task_ids == {"evaluate"}
    assert "approve" in dag.get_task("promote").upstream_task_ids


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ({}, set()),
        ({"rescue": {}}, {"evaluate", "record"}),
        ({"evidence": "adds_up"}, {"train", "evaluate", "record"}),
    ],
)
@pytest.mark.parametrize("mode", ["auto", "suggest"])
def test_what_was_decided_reaches_the_tasks_that_the_gates_ask_it_for(
    gate: dict[str, Any], told: set[str], mode: str
) -> None:
    dag = build(gates={"versus_champion": gate}, retrain={"mode": mode})["parcels.train"]
    deciding = "suggest" if mode == "suggest" else "decide"

    def retrain(task: Any) -> Any:
        return task.partial_kwargs.get("retrain") if task.is_mapped else getattr(task, "retrain", None)

    asking = {task.task_id: retrain(task) for task in dag.tasks if retrain(task) is not None}
    assert set(asking) == told | {"record"}
    assert {argument.operator.task_id for argument in asking.values()} == {deciding}


def test_the_form_of_a_rollback_takes_numbers_of_versions_and_says_where_they_are_listed() -> None:
    to = build()["parcels.rollback"].params.get_param("to")
    assert "airflow mlops history parcels" in str(to.description)
    assert [to.resolve(value) for value in (None, "5")] == [None, "5"]
    for value in ("abc", "9" * 5000, "5 ", "-1"):
        with pytest.raises(ParamValidationError):
            to.resolve(value)


def test_the_decision_is_recorded_whatever_happens_before() -> None:
    record = build()["parcels.train"].get_task("record")
    assert record.trigger_rule == "all_done"
    assert record.upstream_task_ids >= {"decide", "evaluate", "promote"}


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (exceptions.SourceMissing("late"), "retry"),
        (exceptions.RegistryUnavailable("down"), "retry"),
        (exceptions.SchemaMismatch("lost"), "fail"),
        (exceptions.PromotionConflict("moved"), "fail"),
        (KeyError("not ours"), "default"),
    ],
)
def test_the_retry_table_does_what_the_exceptions_say(error: Exception, action: str) -> None:
    assert RETRY_POLICY.evaluate(error, try_number=1, max_tries=3).action.value == action


def delays(error: Exception, tries: range, max_tries: int) -> list[float | None]:
    """The delay before each retry; None where the task's own holds."""
    waits = []
    for number in tries:
        decision = RETRY_POLICY.evaluate(error, try_number=number, max_tries=max_tries)
        if decision.action.value == "fail" or number > max_tries:
            break
        waits.append(decision.retry_delay.total_seconds() if decision.retry_delay else None)
    return waits


def test_a_service_that_is_away_for_half_an_hour_fails_no_task() -> None:
    for error in (exceptions.RegistryUnavailable("refused"), exceptions.OutputUnavailable("refused")):
        waits = delays(error, range(1, 100), RETRIES)
        assert waits == [30, 90, 270, 600, 900]
        assert sum(filter(None, waits)) >= 30 * 60
        assert delays(error, range(1, 100), 2) == [30, 90], "a DAG of one's own may have fewer"


def test_an_error_of_another_kind_is_told_after_three_retries_as_before_also_in_a_task_that_was_cleared() -> (
    None
):
    assert delays(exceptions.SourceMissing("late"), range(1, 100), RETRIES) == [30, 30, 30]
    assert delays(KeyError("not ours"), range(1, 100), RETRIES) == [None, None, None]
    assert delays(KeyError("not ours"), range(5, 100), 4 + RETRIES) == [None, None, None]
    assert delays(KeyError("not ours"), range(1, 100), 2) == [None, None]


def test_every_task_of_the_pack_has_the_retries_that_the_policy_counts_on() -> None:
    tasks = [task for dag in build().values() for task in dag.tasks]
    assert {(task.retries, task.retry_policy) for task in tasks} == {(RETRIES, RETRY_POLICY)}


def test_the_scheduler_knows_that_decide_skips_tasks_also_those_that_are_mapped() -> None:
    serialized = DagSerialization.to_dict(build()["parcels.train"])["dag"]
    [decide] = [task["__var"] for task in serialized["tasks"] if task["__var"]["task_id"] == "decide"]
    assert decide["_can_skip_downstream"] is True


def test_a_challenger_is_judged_after_all_that_asks_for_the_champion_and_before_the_verdict() -> None:
    assert "shadow" not in build()["parcels.monitor"].task_ids
    changes = {"score": {"shadow": True}, "gates": {"shadow": 2}, "monitor": {"alias_guard": "report"}}
    dags = build(**changes)
    monitor = dags["parcels.monitor"]
    assert monitor.get_task("shadow").upstream_task_ids == {"drift", "performance", "guard"}
    assert monitor.get_task("verdict").upstream_task_ids >= {"shadow"}
    assert monitor.get_task("shadow").policy.windows == 2
    assert dags["parcels.train"].get_task("promote").shadow.windows == 2
    recorded = build(score={"shadow": True})
    assert recorded["parcels.monitor"].get_task("shadow").policy is None
    assert recorded["parcels.train"].get_task("promote").shadow is None


def test_metrics_of_ones_own_and_bounds_reach_every_task_that_measures() -> None:
    own = {"cost": {"function": "somewhere:cost", "greater_is_better": False}}
    dags = build(
        task="regression",
        train={"metric": "cost", "metrics": own, "intervals": {"coverage": 0.8}},
        score={"shadow": True},
        gates={"floor": {"cost": 3}, "intervals": 0.1},
        monitor={"alias_guard": "report"},
    )
    train = dags["parcels.train"].get_task("train").partial_kwargs
    assert (train["metric"], train["intervals"].coverage) == ("cost", 0.8)
    monitor = dags["parcels.monitor"]
    measuring = [train, *(vars(monitor.get_task(name)) for name in ("performance", "shadow", "guard"))]
    for arguments in measuring:
        assert {name: metric.function for name, metric in arguments["own_metrics"].items()} == {
            "cost": "somewhere:cost"
        }
    assert dags["parcels.train"].get_task("evaluate").gates.floor == {"cost": 3}
    for dag in dags.values():
        assert DagSerialization.to_dict(dag)


def test_labels_with_a_source_of_their_own_are_brought_before_anything_reads_them() -> None:
    own = {"labels": {"source": {"python": "somewhere:labels"}}, "monitor": {"alias_guard": "report"}}
    dags = build(**own)
    monitor = dags["parcels.monitor"]
    assert monitor.get_task("labels").downstream_task_ids >= {"drift", "performance", "guard"}
    assert all(monitor.get_task(name).labels for name in ("drift", "performance", "guard"))
    # What needs no labels is seen to when they cannot be read; the verdict is not given then.
    rules = {
        name: monitor.get_task(name).trigger_rule for name in ("drift", "guard", "performance", "verdict")
    }
    needs_them = {"performance": "all_success", "verdict": "all_success"}
    assert rules == {"drift": "all_done", "guard": "all_done", **needs_them}
    assert dags["parcels.train"].get_task("decide").labels == "late"
    assert dags["parcels.ingest"].get_task("ingest").required == []
    inside = build()
    assert inside["parcels.ingest"].get_task("ingest").required == ["late"]
    assert inside["parcels.train"].get_task("decide").labels is None
    assert not inside["parcels.monitor"].get_task("drift").labels


DATA_ALONE = ("name", "key", "event_time", "partition", "start", "end", "source")


def data_alone(**changes: Any) -> DataSpec:
    values = make_spec().to_dict()
    return DataSpec.from_dict({name: values[name] for name in DATA_ALONE} | changes)


def test_a_spec_of_data_alone_becomes_the_dag_of_ingestion() -> None:
    (dag,) = continuous_training(data_alone(alerts={"email": ["a@example.com"]}))
    assert dag.dag_id == "parcels.ingest"
    assert [*dag.task_ids] == ["ingest", "validate", "publish", "alert"]
    assert [asset.name for asset in dag.get_task("publish").outlets] == ["parcels/data"]
    assert dag.get_task("validate").skew is None
    assert "DAGs of yours can start by it" in dag.doc_md
    assert "parcels.score" not in dag.doc_md


def test_the_dag_of_ingestion_is_the_same_once_lines_make_it_a_model() -> None:
    (alone,), of_model = continuous_training(data_alone()), build()["parcels.ingest"]
    for name in ("start_date", "end_date", "task_ids", "tags"):
        assert getattr(alone, name) == getattr(of_model, name)
    assert alone.timetable.expression == of_model.timetable.expression
    read, with_target = alone.get_task("ingest"), of_model.get_task("ingest")
    assert (read.key, read.event_time, read.grain, read.source) == (
        with_target.key,
        with_target.event_time,
        with_target.grain,
        with_target.source,
    )
    assert (read.required, with_target.required) == ([], ["late"])


def test_models_that_are_trained_elsewhere_are_taken_in_before_they_are_judged() -> None:
    train = build(train={"elsewhere": "notebook", "trust": "pickle"})["parcels.train"]
    assert "train" not in train.task_dict
    take_in = train.get_task("take_in")
    assert (take_in.origin, take_in.trust) == ("notebook", "pickle")
    assert (take_in.upstream_task_ids, take_in.downstream_task_ids) == ({"decide"}, {"evaluate"})
    assert (train.get_task("decide").elsewhere, train.get_task("decide").skips) == ("notebook", ["take_in"])
    assert sorted(train.params) == ["reason", "record", "version"]
    version = train.params.get_param("version")
    assert [version.resolve(value) for value in (None, "7")] == [None, "7"]
    with pytest.raises(ParamValidationError):
        version.resolve("seven")


def test_predictions_of_another_system_become_two_dags() -> None:
    values = make_spec().to_dict()
    whole = {name: values[name] for name in (*DATA_ALONE, "task", "target")}
    own = {"delay": "P1D", "source": {"files": "/labels/{partition}.csv"}}
    spec = MonitoringSpec.from_dict(
        whole | {"predictions": {"probability": "p"}, "labels": own, "alerts": {"email": ["a@example.com"]}}
    )
    ingest, monitor = continuous_training(spec)
    assert (ingest.dag_id, monitor.dag_id) == ("parcels.ingest", "parcels.monitor")
    assert ingest.get_task("ingest").required == ["p"]
    assert monitor.timetable.asset_condition.name == "parcels/data"
    assert [*monitor.task_ids] == ["predictions", "verdict", "labels", "alert"]
    assert monitor.get_task("verdict").upstream_task_ids == {"predictions", "labels"}
    outlets = [asset.name for task in monitor.tasks for asset in task.outlets]
    assert outlets == ["parcels/predictions", "parcels/health"]
    assert "another system makes" in monitor.description
    assert "parcels.train" not in ingest.doc_md + monitor.doc_md
