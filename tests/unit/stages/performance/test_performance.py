from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.spec.model import PerformancePolicy
from airflow_mlops.exceptions import RegistryUnavailable
from airflow_mlops.learning.labels import labels
from airflow_mlops.learning.labels.coding import Coding
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.stages.performance import calibration, estimate, estimates, performance
from airflow_mlops.stages.score import score
from airflow_mlops.stores.registry import tracking
from airflow_mlops.stores.tables import tables
from history import MODEL, STIFF, History, changed, month, rows_of

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

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


def asked_of(
    history: History,
    dataset: DatasetVersion,
    policy: PerformancePolicy | None = None,
    labels_uri: str | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Ask whether flights were late, unless something else is to be asked."""
    question: dict[str, Any] = {
        "target": "late",
        "task": "classification",
        "metric": "roc_auc",
        "delay": WEEK,
    }
    return {
        "truth": Truth(dataset, Question(**question | changes), labels_uri),
        "policy": policy or PerformancePolicy(),
        "predictions_uri": history.uri("predictions"),
    }


def performance_of(
    history: History, dataset: DatasetVersion, champion: ModelRef, **changes: Any
) -> tuple[Check, dict[str, float | None]]:
    found = performance.performance(
        history.client, champion=champion, **asked_of(history, dataset, **changes)
    )
    return found.check, found.metrics


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


def others_of(
    history: History, dataset: DatasetVersion, champion: ModelRef, **changes: Any
) -> dict[str, Check]:
    found = performance.performance(
        history.client,
        champion=champion,
        performance_uri=history.uri("performance"),
        **asked_of(history, dataset, **changes),
    )
    return {f"{each.name} {each.slice}" if each.slice else each.name: each for each in found.others}


def test_further_checks_say_more_and_the_verdict_has_an_interval(
    history: History, champion: ModelRef
) -> None:
    for key in ("2013-01", "2013-02"):
        serve(history, key, champion)
    march = serve(history, "2013-03", champion)
    policy = PerformancePolicy(floor={"roc_auc": 0.5}, slices=("origin",), min_rows=20, concept=0.002)
    found = others_of(history, march, champion, policy=policy)
    check, _ = performance_of(history, march, champion)
    assert check.interval is not None
    assert check.interval[0] < check.observed < check.interval[1]
    assert found["labels"].verdict is Verdict.PASS
    assert found["labels"].observed == 1.0
    assert (found["baseline"].verdict, found["baseline"].baseline) == (Verdict.PASS, 0.5)
    assert found["volume"].verdict is Verdict.PASS
    assert found["feedback"].verdict is Verdict.PASS
    assert {"slice.floor.roc_auc origin=EWR", "slice.floor.roc_auc origin=JFK"} <= set(found)
    # A holdout of a month of 270 rows is too short to calibrate by.
    assert found["estimate"].verdict is Verdict.INCONCLUSIVE
    assert "no holdout of 300 rows with labels, 30 of either of two classes" in found["estimate"].reason
    assert found["estimate.error"].verdict is Verdict.INCONCLUSIVE
    assert found["concept"].n is None or found["concept"].verdict is not Verdict.INCONCLUSIVE


def test_coverage_below_the_least_makes_the_verdict_inconclusive(
    history: History, champion: ModelRef
) -> None:
    rows = rows_of("2013-03")
    early = pc.less(rows["departure"], month("2013-03").start + WEEK)
    march = serve(history, "2013-03", champion, changed(rows, late=pc.if_else(early, None, rows["late"])))
    check, _ = performance_of(history, march, champion, policy=PerformancePolicy(min_coverage=0.9))
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "of the" in check.reason


def test_labels_of_their_own_count_from_when_they_are_known(history: History, champion: ModelRef) -> None:
    february, march = serve(history, "2013-02", champion), serve(history, "2013-03", champion)
    for dataset in (february, march):
        # Those of both months become known in March.
        labels.write(
            history.uri("labels"), rows_of(dataset.partition).select(["flight", "departure", "late"]),
            month("2013-03"), key=["flight"], event_time="departure", target="late", task="classification",
        )  # fmt: skip
    uri = {"labels_uri": history.uri("labels")}
    check, metrics = performance_of(history, february, champion, **uri)
    assert (check.n, metrics) == (0, {})
    check, _ = performance_of(history, march, champion, **uri)
    rows = rows_of("2013-03")
    due = pc.sum(pc.less(rows["departure"], MATURED[1])).as_py()
    assert check.n == rows_of("2013-02").num_rows + due


def test_labels_that_exist_only_for_positive_decisions_are_hinted_at(
    history: History, champion: ModelRef
) -> None:
    march = serve(history, "2013-03", champion)
    scores = tables.read(history.uri("predictions"), columns=["flight", "score"])
    flights = scores.filter(pc.greater_equal(scores["score"], 0.5))["flight"]
    rows = rows_of("2013-03").select(["flight", "departure", "late"])
    labels.write(
        history.uri("labels"), rows.filter(pc.is_in(rows["flight"], flights)), month("2013-03"),
        key=["flight"], event_time="departure", target="late", task="classification",
    )  # fmt: skip
    policy = PerformancePolicy(min_rows=20)
    found = others_of(history, march, champion, labels_uri=history.uri("labels"), policy=policy)
    assert found["feedback"].verdict is Verdict.FAIL
    assert found["labels"].observed < 0.7


def test_a_partition_with_few_predictions_is_told(history: History, champion: ModelRef) -> None:
    for key in ("2013-01", "2013-02"):
        serve(history, key, champion)
    march = serve(history, "2013-03", champion, rows_of("2013-03").slice(0, 20))
    assert others_of(history, march, champion)["volume"].verdict is Verdict.FAIL


def test_an_estimate_is_made_before_labels_come_and_held_to_them_later(
    history: History, champion: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "LEAST_ROWS", 100)
    late = {"delay": timedelta(days=31), "policy": PerformancePolicy(floor={"roc_auc": 0.6})}
    march = others_of(history, serve(history, "2013-03", champion), champion, **late)
    assert march["labels"].verdict is Verdict.INCONCLUSIVE
    assert march["estimate"].verdict is Verdict.PASS
    assert march["estimate"].reason.startswith("estimated without labels: ")
    assert march["estimate.error"].n == 0
    april = others_of(history, serve(history, "2013-04", champion), champion, **late)
    assert april["estimate.error"].n == 1
    assert april["estimate.error"].observed < 0.1
    again = others_of(history, serve(history, "2013-03", champion), champion, **late)
    assert again == march


@pytest.mark.parametrize("missing", [False, True], ids=["weights", "none yet"])
@pytest.mark.parametrize("kept", [True, False], ids=["history", "none"])
def test_an_estimate_is_weighted_or_says_which_column_it_lacks(
    history: History, monkeypatch: pytest.MonkeyPatch, *, kept: bool, missing: bool
) -> None:
    monkeypatch.setattr(calibration, "LEAST_ROWS", 100)

    def weighed(key: str) -> pa.Table:
        rows = rows_of(key)
        stormy = rows["wind"].fill_null(0).to_numpy() > 0.5
        return rows.append_column("worth", pa.array(np.where(stormy, 10.0, 1.0)))

    history.publish("2013-01", weighed("2013-01"))
    trained = history.train(history.publish("2013-02", weighed("2013-02")), weights="worth")
    champion = history.crown(trained, "2013-02")
    rows = weighed("2013-03")
    if missing:
        rows = changed(rows, worth=pa.array([*rows["worth"].to_pylist()[:-3], None, None, None]))
    march = serve(history, "2013-03", champion, rows)
    policy = PerformancePolicy(floor={"roc_auc": 0.6})
    settings = asked_of(history, march, policy, delay=timedelta(days=31), weights="worth")
    uri = history.uri("performance") if kept else None
    answer = performance.performance(history.client, champion=champion, performance_uri=uri, **settings)
    [check] = [check for check in answer.others if check.name == "estimate"]
    if missing:
        assert check.verdict is Verdict.INCONCLUSIVE
        assert check.reason.startswith("an estimate needs the weight of each row. train.weights: 3 of ")
        assert "values of 'worth' are missing" in check.reason
        return
    assert check.verdict is Verdict.PASS, check.reason
    served = tables.read(history.uri("predictions"), partition="2013-03").sort_by("flight")
    weights = weighed("2013-03").sort_by("flight")["worth"].to_numpy()
    coding = Coding("late", "classification", BINARY, BINARY, weights="worth")
    curve = estimates._kept(history.client, champion, coding)
    assert isinstance(curve, calibration.Calibration)
    expected = estimate.estimate(served["score"].to_numpy(), curve, counted=weights)["roc_auc"]
    assert check.observed == pytest.approx(expected.value, rel=1e-9)
    # Who weighs no rows any more has another calibration.
    assert estimates._kept(history.client, champion, coding._replace(weights=None)) is None
