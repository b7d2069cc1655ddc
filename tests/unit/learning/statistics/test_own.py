from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from airflow_mlops.domain.facts.decision import DecisionRule
from airflow_mlops.domain.metrics import Metric, Task, find, known, metric_of
from airflow_mlops.exceptions import MetricFailed
from airflow_mlops.learning.statistics import measures, paired, resampling
from airflow_mlops.learning.statistics.statistic import statistic


def own(call: Callable[..., Any], task: str = "regression", **changes: Any) -> Any:
    facts = {"greater_is_better": True, "low": -np.inf, "high": np.inf, **changes}
    return known([Metric("mine", Task(task), function="m:f", call=call, **facts)])


def values(rows: int = 240) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = random.normal(size=rows)
    return truth, truth + random.normal(size=rows)


def blocks(rows: int, unit: str = "day") -> resampling.Blocks:
    times = np.datetime64("2020-01-01", "us") + np.arange(rows) * np.timedelta64(3600, "s")
    return resampling.blocks(times, unit, "month")


def test_it_is_known_only_where_it_was_made_known() -> None:
    assert find("mine") is None
    with own(sk.mean_absolute_error):
        assert metric_of("mine").function == "m:f"
        with known([]):
            assert find("mine") is None
    assert find("mine") is None
    with known([Metric("rmse", Task.REGRESSION, True, 0, 1, function="m:f")]):
        assert metric_of("rmse").function == ""


def test_the_function_gets_values_or_probabilities_or_classes() -> None:
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def keep(truth: np.ndarray, predicted: np.ndarray) -> int:
        seen.append((truth, predicted))
        truth[:] = 0  # its own copy
        return 1

    truth, predicted = values(3)
    before = truth.copy()
    with own(keep):
        assert measures.measure("mine", truth, predicted) == 1
    np.testing.assert_array_equal(truth, before)
    labels, two = np.array([0.0, 1, 1]), np.array([0.2, 0.5, 0.4])
    many = np.array([[0.2, 0.5, 0.3], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8]])
    for needs in ("probabilities", "labels"):
        with own(keep, "classification", needs=needs):
            measures.measure("mine", labels, two)
            measures.measure("mine", np.array([2.0, -1, 0]), many)
    assert [given.tolist() for _, given in seen[1:]] == [two.tolist(), many.tolist(), [0, 1, 0], [1, 0, 2]]
    assert all(truth.dtype == np.int64 for truth, _ in seen[1:])


def test_chosen_classes_are_those_of_the_version_and_probabilities_stay() -> None:
    labels, probabilities = np.array([0.0, 1, 1]), np.array([0.2, 0.35, 0.6])
    rule = DecisionRule(threshold=0.3)
    seen: list[list[float]] = []

    def keep(truth: np.ndarray, predicted: np.ndarray) -> int:
        seen.append(predicted.tolist())
        return 1

    for needs in ("labels", "probabilities"):
        with own(keep, "classification", needs=needs):
            measures.measure("mine", labels, probabilities, rule=rule)
            statistic("mine", labels, probabilities, blocks(3, "none"), rule).compute(np.array([1, 1, 1]))
    assert seen == [[0, 1, 1]] * 2 + [probabilities.tolist()] * 2


def test_a_draw_of_blocks_has_the_value_of_the_rows_drawn() -> None:
    truth, predicted = values()
    whole = blocks(truth.size)
    with own(sk.mean_absolute_error, greater_is_better=False):
        computed = statistic("mine", truth, predicted, whole)
    ours = statistic("mae", truth, predicted, whole)
    for seed in range(5):
        drawn = np.random.default_rng(seed).integers(0, 3, whole.count)
        assert computed.compute(drawn) == pytest.approx(ours.compute(drawn), rel=1e-12)
    assert computed.support == ours.support


def test_two_models_are_compared_by_it_as_by_the_same_metric_of_ours() -> None:
    truth, ours = values()
    theirs = ours + 1
    settings: dict[str, Any] = {"blocks": blocks(truth.size), "confidence": 0.95}
    with own(sk.mean_absolute_error, greater_is_better=False):
        compared = paired.difference(truth, ours, theirs, "mine", **settings)
    expected = paired.difference(truth, ours, theirs, "mae", **settings)
    assert compared.observed == expected.observed
    assert compared.interval == pytest.approx(expected.interval, rel=1e-9)
    assert expected.interval is not None
    assert expected.interval[0] > 0


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.5, float("inf")])
def test_what_is_no_number_or_beyond_its_range_is_undefined_and_told(
    value: float, caplog: pytest.LogCaptureFixture
) -> None:
    with own(lambda truth, predicted: value, low=0, high=1), caplog.at_level("WARNING"):
        assert measures.measure("mine", *values()) is None
    assert "mine is undefined on 240 rows: m:f returned" in caplog.text


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda truth, predicted: 1 / 0, "mine: m:f: ZeroDivisionError: division by zero"),
        (lambda truth: 1, "mine: m:f: TypeError: .*takes 1 positional argument but 2 were given"),
        (lambda truth, predicted: None, "mine: m:f returned NoneType, where a number is needed"),
        (lambda truth, predicted: "1", "mine: m:f returned str"),
        (lambda truth, predicted: True, "mine: m:f returned bool"),
        (lambda truth, predicted: truth, "mine: m:f returned ndarray"),
        (lambda truth, predicted: np.complex128(1j), "mine: m:f returned complex128"),
    ],
)
def test_a_function_that_fails_or_returns_no_number_is_an_error_that_names_it(
    call: Callable[..., Any], said: str
) -> None:
    with own(call), pytest.raises(MetricFailed, match=said):
        measures.measure("mine", *values())


def test_a_draw_that_it_fails_on_is_left_out_of_the_interval() -> None:
    truth = np.zeros(240)
    truth[::24] = 1  # one of a day
    predicted = np.random.default_rng(0).random(240)

    def auc(labels: np.ndarray, scores: np.ndarray) -> float:
        if labels.sum() == labels.size or not labels.sum():
            raise ValueError("one class")
        return float(sk.roc_auc_score(labels, scores))

    with own(auc, "classification"):
        computed = statistic("mine", truth, predicted, blocks(240, "hour"))
        assert np.isnan(computed.compute((truth == 0).astype(np.int64)))
        assert computed.compute(np.ones(240, np.int64)) == pytest.approx(sk.roc_auc_score(truth, predicted))


def test_weights_are_handed_to_the_function_where_rows_have_some() -> None:
    truth, predicted = values()
    weights = np.random.default_rng(4).integers(0, 3, truth.size).astype(float)
    with own(sk.mean_absolute_error):
        expected = sk.mean_absolute_error(truth, predicted, sample_weight=weights)
        assert measures.measure("mine", truth, predicted, weights=weights) == pytest.approx(
            expected, rel=1e-12
        )
        days = blocks(truth.size)
        drawn = statistic("mine", truth, predicted, days, weights=weights)
        ours = statistic("mae", truth, predicted, days, weights=weights)
        for times in (np.ones(days.count, int), np.arange(days.count) % 3):
            assert drawn.compute(times) == pytest.approx(ours.compute(times), rel=1e-12)


def test_a_function_sees_no_rows_that_weigh_nothing() -> None:
    truth, predicted = values()
    weights = (np.arange(truth.size) % 2).astype(float)
    rows: list[int] = []

    def count(labels: np.ndarray, _: np.ndarray, sample_weight: np.ndarray) -> int:
        assert (sample_weight > 0).all()
        sample_weight[:] = 0  # its own copy
        rows.append(labels.size)
        return 1

    with own(count):
        measures.measure("mine", truth, predicted, weights=weights)
        statistic("mine", truth, predicted, blocks(truth.size), weights=weights).compute(np.ones(10, int))
    assert rows == [120, 120]
    assert weights.sum() == 120
