from __future__ import annotations

from airflow_mlops.learning.models import aliases


def test_parameters_are_left_out_by_whatever_name_they_are_written() -> None:
    params = {"application": "l1", "alpha": 0.5, "num_leaves": 7}
    names = ["objective", "alpha"]
    assert aliases.without(params, names, "lightgbm.LGBMRegressor") == {"num_leaves": 7}
    assert aliases.without(params, names, "sklearn.linear_model.QuantileRegressor") == {
        "application": "l1",
        "num_leaves": 7,
    }
