from __future__ import annotations

import pytest

from airflow_mlops.domain.metrics import METRICS, Task, find, forms, measured, metric_of, names


def test_each_task_has_its_metrics_with_the_default_first() -> None:
    assert names(Task.CLASSIFICATION)[0] == "roc_auc"
    assert names("regression")[0] == "rmse"
    assert measured("regression") == ("rmse", "mae", "r2")


def test_losses_and_errors_are_better_when_smaller() -> None:
    smaller = {metric.name for metric in METRICS.values() if not metric.greater_is_better}
    errors = {"rmse", "mae", "mape", "median_absolute_error", "poisson_deviance", "gamma_deviance"}
    assert smaller == {"log_loss", "brier", "expected_cost", *errors}


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_metric_is_listed_under_its_own_name_and_has_a_range(metric) -> None:
    assert METRICS[metric.name] is metric
    assert metric.low < metric.high


@pytest.mark.parametrize(
    ("name", "number", "greater_is_better"),
    [
        ("top_1_accuracy", 1, True),
        ("top_3_accuracy", 3, True),
        ("top_1000_accuracy", 1000, True),
        ("f2", 2, True),
        ("f0.5", 0.5, True),
        ("pinball_1", 1, False),
        ("pinball_90", 90, False),
        ("pinball_97.5", 97.5, False),
    ],
)
def test_a_name_that_holds_a_number_says_which_metric_it_is(
    name: str, number: float, greater_is_better: bool
) -> None:
    metric = metric_of(name)
    assert (metric.name, metric.number, metric.greater_is_better) == (name, number, greater_is_better)
    assert metric.family is not None
    assert metric.family.form in forms(metric.task)


@pytest.mark.parametrize(
    "name",
    [
        "top_0_accuracy", "top_03_accuracy", "top_2.5_accuracy", "top_-1_accuracy", "top_accuracy", "top_٣_accuracy",
        "f0", "f0.0", "f02", "f2.0", "f-1", "f.5", "f", "pinball_0.9", "pinball_0", "pinball_100", "pinball_97.50",
        "pinball_90 ", "pinball_090", "pinball_", "pinball_1e1", "pinball_nan", "",
    ],
)  # fmt: skip
def test_a_number_that_no_metric_has_or_in_a_second_spelling_names_none(name: str) -> None:
    assert find(name) is None
