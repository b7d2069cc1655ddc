"""The champion is tested against its evaluation, against constants, and for calibration, on labels that have matured."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.special import expit, logit

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.model import Candidate, PerformancePolicy
from airflow_mlops.learning.labels import labels
from airflow_mlops.learning.labels.coding import Coding
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.stages.performance import evaluated, last_known, performance
from airflow_mlops.stages.performance.registered import RegisteredVersions
from airflow_mlops.stages.performance.subject import Subject
from airflow_mlops.stages.score import score
from airflow_mlops.stores.registry import artifacts
from airflow_mlops.stores.tables import tables
from history import MODEL, History, month
from synthetic import make_rows

pytestmark = pytest.mark.slow  # fits: seconds each

TESTED = PerformancePolicy(chance=0.05)
RIDGE = Candidate(estimator="sklearn.linear_model.Ridge", params={})
# From January to April, a thousand rows a month.
ROWS = make_rows(4000, months=4)
LATE: dict[str, Any] = {"target": "late", "task": "classification", "metric": "roc_auc"}
DELAY: dict[str, Any] = {"target": "delay", "task": "regression", "metric": "mae"}
GRADE: dict[str, Any] = {"target": "grade", "task": "classification", "metric": "roc_auc"}


def rows_of(key: str) -> pa.Table:
    times, partition = ROWS["departure"], month(key)
    rows = ROWS.filter(pc.and_(pc.greater_equal(times, partition.start), pc.less(times, partition.end)))
    grades = np.array(["low", "middle", "high"])[np.digitize(rows["delay"].to_numpy(), [0, 15])]
    worth = np.where(rows["distance"].to_numpy() > 500, 3.0, 1.0)
    return rows.append_column("grade", pa.array(grades)).append_column("worth", pa.array(worth))


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def crowned(history: History, **recipe: Any) -> ModelRef:
    history.publish("2013-01", rows_of("2013-01"))
    return history.crown(history.train(history.publish("2013-02", rows_of("2013-02")), **recipe), "2013-02")


def serve(
    history: History,
    key: str,
    champion: ModelRef,
    task: str = "classification",
    spoil: Callable[[np.ndarray], np.ndarray] | None = None,
) -> DatasetVersion:
    """Publish and score a month.

    :param spoil: what becomes of its scores before labels come.
    """
    dataset = history.publish(key, rows_of(key))
    uri = history.uri("predictions")
    score.score(history.client, model=MODEL, dataset=dataset, champion=champion, task=task, uri=uri)
    if spoil is not None:
        rows = tables.read(uri, partition=key)
        scores = pa.array(spoil(rows["score"].to_numpy()))
        tables.replace_partition(uri, rows.set_column(rows.column_names.index("score"), "score", scores), key)
    return dataset


def measured(
    history: History, dataset: DatasetVersion, champion: ModelRef, asked: dict[str, Any], **changes: Any
) -> tuple[Check, dict[str, Check]]:
    settings: dict[str, Any] = {"policy": TESTED, "labels_uri": None, "delay": timedelta(0)} | changes
    found = performance.performance(
        history.client,
        truth=Truth(
            dataset,
            Question(**asked, delay=settings["delay"], weights=settings.get("weights")),
            settings["labels_uri"],
        ),
        champion=champion,
        policy=settings["policy"],
        predictions_uri=history.uri("predictions"),
        performance_uri=history.uri("performance"),
    )
    return found.check, {check.name: check for check in found.others}


def too_sure(scores: np.ndarray) -> np.ndarray:
    """Return scores in the same order, of a model that has become far too sure that flights are in time."""
    return expit(4 * logit(np.clip(scores, 1e-6, 1 - 1e-6)) - 6)


def test_a_champion_that_ranks_well_and_is_worthless_as_a_probability_fails_at_once(history: History) -> None:
    champion = crowned(history)
    good, tested = measured(history, serve(history, "2013-03", champion), champion, LATE)
    assert good.verdict is Verdict.PASS
    names = ["decay.roc_auc", "decay.log_loss", "worthless.roc_auc", "worthless.log_loss", "worthless.brier"]
    names.append("calibration")
    assert [name for name in tested if name in names] == names
    assert {tested[name].verdict for name in names} == {Verdict.PASS}
    april = serve(history, "2013-04", champion, spoil=too_sure)
    before, _ = measured(history, april, champion, LATE, policy=PerformancePolicy())
    bad, tested = measured(history, april, champion, LATE)
    assert (before.verdict, bad.verdict) == (Verdict.PASS, Verdict.FAIL)
    failed = {name for name in names if tested[name].verdict is Verdict.FAIL}
    assert failed == {"decay.log_loss", "worthless.log_loss", "calibration"}
    assert bad.observed == pytest.approx(good.observed, abs=0.05)
    # What was found is said of the whole, and by which chance of each test.
    assert "the level of look 2 of a budget of 0.05" in tested["decay.log_loss"].reason
    assert " of its evaluation at training; p " in tested["decay.log_loss"].reason
    assert "decay.log_loss: log_loss " in bad.reason
    assert " of its evaluation at training; worthless.log_loss: " in bad.reason
    assert " of a constant, the shares of the " in bad.reason


def test_a_model_that_was_too_sure_at_its_evaluation_has_not_decayed_by_that(history: History) -> None:
    sure = Candidate(
        estimator="sklearn.ensemble.HistGradientBoostingClassifier",
        params={"max_iter": 300, "learning_rate": 0.3},
    )
    champion = crowned(history, candidate=sure)
    _, tested = measured(history, serve(history, "2013-03", champion), champion, LATE)
    calibration = tested["calibration"]
    assert calibration.observed - calibration.baseline > 0.1
    assert calibration.verdict is Verdict.PASS
    assert "of which was there at training" in calibration.reason


def test_without_a_budget_nothing_is_tested_and_all_is_as_before(history: History) -> None:
    champion = crowned(history)
    check, tested = measured(
        history,
        serve(history, "2013-03", champion, spoil=too_sure),
        champion,
        LATE,
        policy=PerformancePolicy(),
    )
    assert (check.verdict, check.expected) == (Verdict.PASS, "nothing")
    assert not [name for name in tested if name.startswith(("decay", "worthless", "calibration"))]
    assert artifacts.read(history.client, champion.run_id, evaluated.EVALUATION) is None


def test_few_rows_are_not_tested(history: History) -> None:
    champion = crowned(history)
    march = serve(history, "2013-03", champion, spoil=too_sure)
    policy = PerformancePolicy(chance=0.05, min_rows=10_000)
    check, tested = measured(history, march, champion, LATE, policy=policy)
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "decay.log_loss" not in tested


def test_a_partition_of_few_rows_is_tested_with_those_before_it(history: History) -> None:
    champion = crowned(history)
    policy = PerformancePolicy(chance=0.05, min_rows=1500)
    alone, few = measured(
        history, serve(history, "2013-02", champion, spoil=too_sure), champion, LATE, policy=policy
    )
    both, enough = measured(
        history, serve(history, "2013-03", champion, spoil=too_sure), champion, LATE, policy=policy
    )
    assert (alone.verdict, "decay.log_loss" in few) == (Verdict.INCONCLUSIVE, False)
    assert both.verdict is Verdict.FAIL
    assert enough["decay.log_loss"].n == rows_of("2013-02").num_rows + rows_of("2013-03").num_rows
    assert "look 2 " in enough["decay.log_loss"].reason


@pytest.mark.parametrize("spoilt", [False, True], ids=["good", "spoilt"])
def test_a_prediction_of_numbers_is_held_to_its_evaluation_and_to_constants(
    history: History, *, spoilt: bool
) -> None:
    champion = crowned(history, candidate=RIDGE, **DELAY)
    spoil = (lambda scores: scores + 60) if spoilt else None
    march = serve(history, "2013-03", champion, "regression", spoil)
    check, tested = measured(history, march, champion, DELAY)
    names = ["decay.mae", "decay.rmse", "worthless.mae", "worthless.rmse"]
    expected = Verdict.FAIL if spoilt else Verdict.PASS
    assert [tested[name].verdict for name in names] == [expected] * 4
    assert (check.verdict, "calibration" in tested) == (expected, False)


def test_of_many_classes_ranking_scores_and_confidence_are_tested(history: History) -> None:
    champion = crowned(history, **GRADE)
    uri = history.uri("predictions")
    march = serve(history, "2013-03", champion)
    check, tested = measured(history, march, champion, GRADE)
    names = ["decay.roc_auc", "decay.log_loss", "worthless.roc_auc", "worthless.log_loss", "worthless.brier"]
    assert [tested[name].verdict for name in [*names, "calibration"]] == [Verdict.PASS] * 6
    april = serve(history, "2013-04", champion)
    rows = tables.read(uri, partition="2013-04")
    matrix = np.array(rows["probabilities"].to_pylist()) ** 8
    sure = pa.array((matrix / matrix.sum(axis=1, keepdims=True)).tolist())
    place = rows.column_names.index("probabilities")
    tables.replace_partition(uri, rows.set_column(place, "probabilities", sure), "2013-04")
    check, tested = measured(history, april, champion, GRADE)
    assert check.verdict is Verdict.FAIL
    assert {tested[name].verdict for name in ("decay.log_loss", "calibration")} == {Verdict.FAIL}


def test_rows_count_by_their_weights(history: History) -> None:
    champion = crowned(history, weights="worth")
    march = serve(history, "2013-03", champion)
    check, tested = measured(history, march, champion, LATE, weights="worth")
    assert check.verdict is Verdict.PASS
    assert tested["decay.roc_auc"].observed == pytest.approx(check.observed)
    unweighted, _ = measured(history, march, champion, LATE)
    assert unweighted.observed != check.observed


def test_labels_of_their_own_are_tested_as_they_come_and_each_partition_of_them_is_a_look(
    history: History,
) -> None:
    champion = crowned(history)
    uri = history.uri("labels")
    verdicts, reasons = [], []
    for key, before in (("2013-03", "2013-02"), ("2013-04", "2013-03")):
        serve(history, before, champion)
        dataset = serve(history, key, champion)
        # Each month's labels become known a month later.
        labels.write(
            uri, rows_of(before).select(["flight", "departure", "late"]), month(key), key=["flight"],
            event_time="departure", target="late", task="classification",
        )  # fmt: skip
        check, tested = measured(history, dataset, champion, LATE, labels_uri=uri, delay=timedelta(days=20))
        verdicts.append(check.verdict)
        reasons.append(tested["decay.log_loss"].reason)
    assert verdicts == [Verdict.PASS] * 2
    assert ["look 1 " in reasons[0], "look 2 " in reasons[1]] == [True, True]
    # The same facts give the same look, also when an earlier partition is run again.
    march = history.publish("2013-03", rows_of("2013-03"))
    _, again = measured(history, march, champion, LATE, labels_uri=uri, delay=timedelta(days=20))
    assert again["decay.log_loss"].reason == reasons[0]


def test_an_evaluation_is_measured_once_and_kept_with_the_version(history: History) -> None:
    champion = crowned(history)
    march = serve(history, "2013-03", champion)
    first, _ = measured(history, march, champion, LATE)
    kept = artifacts.read(history.client, champion.run_id, evaluated.EVALUATION)
    assert kept is not None
    # The training data may be gone by now.
    for damage in ({}, {"names": []}):
        assert measured(history, march, champion, LATE)[0] == first
        artifacts.write_json(history.client, champion.run_id, evaluated.EVALUATION, damage)


def known(history: History, champion: ModelRef, key: str, delay: timedelta) -> tuple[np.ndarray | None, ...]:
    """Return the constants of a month's rows."""
    truth = Truth(serve(history, key, champion), Question(**LATE, delay=delay))
    subject = Subject(RegisteredVersions(history.client, MODEL), history.uri("predictions"), truth)
    rows = rows_of(key).append_column("_truth", rows_of(key)["late"].cast("float64"))
    coding = Coding.of(truth.question, ("0", "1"))
    return last_known.newest(subject, rows, coding), last_known.season(subject, rows, coding)


@pytest.mark.parametrize(
    ("delay", "source"), [(0, "2013-03"), (20, "2013-03"), (40, "2013-03"), (62, "2013-02")]
)
def test_last_known_are_labels_that_counted_by_the_end_of_the_partition_that_was_scored(
    history: History, delay: int, source: str
) -> None:
    champion = crowned(history)
    serve(history, "2013-03", champion)
    newest, season = known(history, champion, "2013-04", timedelta(days=delay))
    rows, end = rows_of(source), Partition.parse("2013-04", "month").end - timedelta(days=delay)
    counted = rows.filter(pc.less(rows["departure"], pa.scalar(end, pa.timestamp("us", "UTC"))))["late"]
    share = (pc.sum(counted).as_py() + 1) / (len(counted) + 2)
    assert newest is not None
    assert newest == pytest.approx(np.full(rows_of("2013-04").num_rows, share))
    assert season is None


def test_where_no_labels_were_known_there_is_no_such_constant(history: History) -> None:
    champion = crowned(history)
    newest, _ = known(history, champion, "2013-03", timedelta(days=365))
    assert newest is None
