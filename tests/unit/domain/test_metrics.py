from __future__ import annotations

import pytest

from airflow_mlops.domain.metrics import METRICS, Task, measured, names


def test_each_task_has_its_metrics_with_the_default_first() -> None:
    assert names(Task.CLASSIFICATION)[0] == "roc_auc"
    assert names("regression")[0] == "rmse"
    assert measured("regression") == ("rmse", "mae", "r2")


def test_losses_and_errors_are_better_when_smaller() -> None:
    smaller = {metric.name for metric in METRICS.values() if not metric.greater_is_better}
    pinball = {"pinball_10", "pinball_50", "pinball_90"}
    errors = {"rmse", "mae", "mape", "median_absolute_error", "poisson_deviance", "gamma_deviance"}
    assert smaller == {"log_loss", "brier", *errors, *pinball}


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_metric_is_listed_under_its_own_name_and_has_a_range(metric) -> None:
    assert METRICS[metric.name] is metric
    assert metric.low < metric.high
