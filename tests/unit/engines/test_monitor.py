from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.results import DatasetVersion, HealthReport, ModelRef
from airflow_mlops.domain.spec import DriftPolicy, PerformancePolicy
from airflow_mlops.engines import drift, monitor, registry, score, tables, tracking
from airflow_mlops.exceptions import RegistryUnavailable, TableMissing
from history import MODEL, STIFF, History, changed, month, rows_of, shifted

WEEK = timedelta(days=7)
# Of one month with one month more, under a delay of a week: labels that mature in March.
MATURED = (month("2013-03").start - WEEK, month("2013-03").end - WEEK)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


@pytest.fixture
def champion(history: History) -> ModelRef:
    """A version that was trained on January and promoted in February."""
    history.publish("2013-01")
    return history.crown(history.train(history.publish("2013-02")), "2013-02")


def drift_of(history: History, dataset: DatasetVersion, champion: ModelRef) -> drift.Drift:
    return monitor.drift(
        history.client, dataset=dataset, champion=champion, policy=DriftPolicy(min_rows=100, threshold=0.25)
    )


def wind(found: drift.Drift) -> Check:
    return next(check for check in found.columns if check.name == "drift.wind")


def test_a_month_of_stronger_wind_has_drifted_from_the_champions_training_data(
    history: History, champion: ModelRef
) -> None:
    assert wind(drift_of(history, history.publish("2013-03"), champion)).verdict is Verdict.PASS
    stormy = drift_of(history, history.publish("2013-03", shifted("2013-03")), champion)
    assert wind(stormy).verdict is Verdict.FAIL
    assert {check.name for check in stormy.columns} == {
        f"drift.{name}" for name in ("distance", "wind", "carrier", "origin")
    }
    assert f"{MODEL} 2013-03 against version {champion.version}" in stormy.html


def test_drift_is_measured_against_the_data_that_was_trained_on_also_after_it_was_published_anew(
    history: History, champion: ModelRef
) -> None:
    march = history.publish("2013-03")
    before = drift_of(history, march, champion)
    history.publish("2013-01", shifted("2013-01"))
    after = drift_of(history, march, champion)
    assert (after.overall, after.columns) == (before.overall, before.columns)


def test_the_holdout_is_no_training_data(history: History) -> None:
    history.publish("2013-01")
    trained = history.train(history.publish("2013-02", shifted("2013-02")))
    champion = history.crown(trained, "2013-02")
    assert wind(drift_of(history, history.publish("2013-03"), champion)).verdict is Verdict.PASS


def test_training_data_that_is_gone_is_named(history: History, champion: ModelRef) -> None:
    march = history.publish("2013-03")
    data = history.folder / "storage" / MODEL / "data"
    data.rename(data.with_name("elsewhere"))
    with pytest.raises(TableMissing, match="flights/data"):
        drift_of(history, march, champion)


def performance_of(
    history: History, dataset: DatasetVersion, champion: ModelRef, **changes: Any
) -> tuple[Check, dict[str, float | None]]:
    settings: dict[str, Any] = {
        "target": "late",
        "task": "classification",
        "metric": "roc_auc",
        "delay": WEEK,
        "policy": PerformancePolicy(),
    }
    return monitor.performance(
        history.client,
        dataset=dataset,
        champion=champion,
        predictions_uri=history.uri("predictions"),
        **settings | changes,
    )


def serve(history: History, key: str, champion: ModelRef, rows: pa.Table | None = None) -> DatasetVersion:
    """Publish and score a month."""
    dataset = history.publish(key, rows)
    score.score(
        history.client,
        model=MODEL,
        dataset=dataset,
        champion=champion,
        task="classification",
        uri=history.uri("predictions"),
    )
    return dataset


def with_wrong_labels(key: str, since: Any, until: Any) -> pa.Table:
    rows = rows_of(key)
    chosen = pc.and_(pc.greater_equal(rows["departure"], since), pc.less(rows["departure"], until))
    return changed(rows, late=pc.xor(rows["late"], chosen))


def count(since: Any, until: Any) -> int:
    both = pa.concat_tables([rows_of("2013-02"), rows_of("2013-03")])["departure"]
    return pc.sum(pc.and_(pc.greater_equal(both, since), pc.less(both, until))).as_py()


def test_only_labels_that_matured_during_the_partition_are_judged(
    history: History, champion: ModelRef
) -> None:
    serve(history, "2013-02", champion)
    march = serve(history, "2013-03", champion)
    check, metrics = performance_of(history, march, champion)
    assert check.n == count(*MATURED)
    assert check.observed == metrics["roc_auc"]
    assert metrics["roc_auc"] is not None
    assert metrics["roc_auc"] > 0.8
    everything, _ = performance_of(history, march, champion, delay=timedelta(0))
    assert everything.n == rows_of("2013-03").num_rows


def test_labels_that_mature_later_or_matured_earlier_change_nothing(
    history: History, champion: ModelRef
) -> None:
    serve(history, "2013-02", champion)
    before = performance_of(history, serve(history, "2013-03", champion), champion)
    early = with_wrong_labels("2013-02", month("2013-02").start, MATURED[0])
    late = with_wrong_labels("2013-03", MATURED[1], month("2013-03").end)
    history.publish("2013-02", early)
    assert performance_of(history, history.publish("2013-03", late), champion) == before


def test_labels_that_matured_during_the_partition_change_the_answer(
    history: History, champion: ModelRef
) -> None:
    serve(history, "2013-02", champion)
    good, _ = performance_of(history, serve(history, "2013-03", champion), champion)
    wrong = with_wrong_labels("2013-03", month("2013-03").start, MATURED[1])
    bad, _ = performance_of(history, history.publish("2013-03", wrong), champion)
    assert bad.n == good.n
    assert bad.observed < 0.5 < good.observed


def test_labels_are_those_of_the_dataset_version_also_after_a_correction(
    history: History, champion: ModelRef
) -> None:
    march = serve(history, "2013-03", champion)
    before = performance_of(history, march, champion)
    history.publish("2013-03", with_wrong_labels("2013-03", *MATURED))
    assert performance_of(history, march, champion) == before


def test_only_what_the_champion_itself_has_predicted_is_judged(history: History, champion: ModelRef) -> None:
    march = serve(history, "2013-03", champion)
    other = history.crown(history.train(march, candidate=STIFF), "2013-03")
    check, metrics = performance_of(history, march, other)
    assert (check.n, check.verdict, metrics) == (0, Verdict.INCONCLUSIVE, {})
    april = serve(history, "2013-04", other)
    check, _ = performance_of(history, april, other)
    assert check.n == pc.sum(pc.less(rows_of("2013-04")["departure"], month("2013-05").start - WEEK)).as_py()


def test_performance_is_compared_with_that_of_the_champions_own_holdout(
    history: History, champion: ModelRef
) -> None:
    march, policy = serve(history, "2013-03", champion), PerformancePolicy(drop=0.05)
    unknown, _ = performance_of(history, march, champion, policy=policy)
    assert (unknown.verdict, unknown.baseline) == (Verdict.INCONCLUSIVE, None)
    tracking.log_metrics(history.client, champion.run_id, "holdout", {"roc_auc": 0.999})
    dropped, _ = performance_of(history, march, champion, policy=policy)
    assert (dropped.verdict, dropped.baseline) == (Verdict.FAIL, 0.999)


def test_rows_without_a_label_are_left_out(history: History, champion: ModelRef) -> None:
    rows = rows_of("2013-03")
    early = pc.less(rows["departure"], month("2013-03").start + WEEK)
    march = serve(history, "2013-03", champion, changed(rows, late=pc.if_else(early, None, rows["late"])))
    check, _ = performance_of(history, march, champion, delay=timedelta(0))
    assert check.n == rows.num_rows - pc.sum(early).as_py()


def test_a_number_that_is_none_is_no_label(history: History, champion: ModelRef) -> None:
    rows = rows_of("2013-03")
    delays = pa.chunked_array([[float("nan"), *rows["delay"].to_pylist()[1:]]])
    march = serve(history, "2013-03", champion, changed(rows, delay=delays))
    check, metrics = performance_of(
        history, march, champion, target="delay", task="regression", metric="rmse", delay=timedelta(0)
    )
    assert check.n == rows.num_rows - 1
    assert metrics["rmse"] is not None


def test_the_event_time_may_be_part_of_the_key(history: History, champion: ModelRef) -> None:
    march = history.publish("2013-03").model_copy(update={"key": ("flight", "departure")})
    score.score(
        history.client, model=MODEL, dataset=march, champion=champion, task="classification",
        uri=history.uri("predictions"),
    )  # fmt: skip
    check, _ = performance_of(history, march, champion, delay=timedelta(0))
    assert check.n == march.rows


def test_without_predictions_nothing_is_known(history: History, champion: ModelRef) -> None:
    check, metrics = performance_of(history, history.publish("2013-03"), champion)
    assert (check.verdict, check.n, metrics) == (Verdict.INCONCLUSIVE, 0, {})


def test_a_registry_that_cannot_be_reached_is_no_finding(
    history: History, champion: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    march = history.publish("2013-03")
    history.client = MlflowClient("http://127.0.0.1:1", "http://127.0.0.1:1")
    with pytest.raises(RegistryUnavailable):
        performance_of(history, march, champion)
    with pytest.raises(RegistryUnavailable):
        drift_of(history, march, champion)


CHAMPION = ModelRef(model=MODEL, version="1", digest="a" * 64, run_id="r", trained_through="2013-01")


def make_check(verdict: Verdict, reason: str = "because") -> Check:
    return Check(name="measure", verdict=verdict, expected="something", reason=reason)


def make_report(key: str = "2013-03", **changes: Any) -> HealthReport:
    dataset = DatasetVersion(
        name=MODEL, uri="file:///nowhere", version=1, grain="month", partition=key, rows=1, digest="d", columns={},
        key=("flight",), event_time="departure",
    )  # fmt: skip
    settings: dict[str, Any] = {
        "model": MODEL,
        "dataset": dataset,
        "champion": CHAMPION,
        "drift": make_check(Verdict.PASS),
        "columns": (),
        "performance": make_check(Verdict.PASS),
        "metrics": {"roc_auc": 0.75},
        "staleness": None,
    }
    return monitor.health(**settings | changes)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.PASS),
        ({"drift": make_check(Verdict.FAIL)}, Verdict.FAIL),
        ({"performance": make_check(Verdict.INCONCLUSIVE)}, Verdict.INCONCLUSIVE),
        (
            {"drift": make_check(Verdict.FAIL), "performance": make_check(Verdict.INCONCLUSIVE)},
            Verdict.FAIL,
        ),
        ({"staleness": 2}, Verdict.PASS),
        ({"staleness": 1}, Verdict.FAIL),
        ({"champion": None}, Verdict.INCONCLUSIVE),
    ],
)
def test_health_is_as_bad_as_the_worst_of_its_measures(changes: dict[str, Any], verdict: Verdict) -> None:
    assert make_report(**changes).verdict is verdict


def test_the_reason_of_health_names_every_measure() -> None:
    drifted, weak = make_check(Verdict.FAIL, "a storm"), make_check(Verdict.INCONCLUSIVE, "few labels")
    reason = make_report(drift=drifted, performance=weak).reason
    assert reason.startswith("a storm; few labels; 2 partition(s) since")


@pytest.mark.parametrize(
    ("champion", "key", "grain", "passed"),
    [
        (CHAMPION, "2013-01", "month", 0),
        (CHAMPION, "2014-01", "month", 12),
        (CHAMPION.model_copy(update={"trained_through": "2013-02-27"}), "2013-03-01", "day", 2),
        (CHAMPION.model_copy(update={"trained_through": None}), "2013-03", "month", None),
        (None, "2013-03", "month", None),
    ],
)
def test_age_is_counted_in_partitions(
    champion: ModelRef | None, key: str, grain: str, passed: int | None
) -> None:
    assert monitor.since_training(champion, key, grain) == passed


def test_without_a_champion_there_is_nothing_to_measure() -> None:
    check = monitor.no_champion("drift")
    assert (check.name, check.verdict) == ("drift", Verdict.INCONCLUSIVE)


def test_history_is_read_back_newest_first_up_to_a_partition(history: History) -> None:
    uri = history.uri("monitoring")
    assert monitor.history(uri, "2013-03") == []
    reports = {key: make_report(key) for key in ("2013-02", "2013-04", "2013-01", "2013-03")}
    for report in reports.values():
        monitor.record(uri, report)
    assert monitor.history(uri, "2013-03") == [reports[key] for key in ("2013-03", "2013-02", "2013-01")]


def test_a_partition_that_is_measured_again_replaces_its_report(history: History) -> None:
    uri = history.uri("monitoring")
    for key in ("2013-01", "2013-02"):
        monitor.record(uri, make_report(key))
    anew = make_report("2013-01", drift=make_check(Verdict.FAIL), champion=None)
    monitor.record(uri, anew)
    assert monitor.history(uri, "2013-02") == [make_report("2013-02"), anew]
    rows = tables.read(uri, partition="2013-01").to_pylist()
    assert [(row["verdict"], row["drift"], row["model_version"]) for row in rows] == [("FAIL", "FAIL", None)]


def test_a_champion_is_described_by_what_the_registry_says(history: History, champion: ModelRef) -> None:
    assert champion.trained_through == "2013-01"
    assert registry.training(history.client, champion).dataset.partition == "2013-02"
