from __future__ import annotations

from math import inf
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from airflow_mlops.domain.metrics import find
from airflow_mlops.domain.spec import specs
from airflow_mlops.domain.spec.model import Gates, ModelSpec, Train
from airflow_mlops.domain.spec.own_metrics import OwnMetric
from airflow_mlops.exceptions import SpecError

SMALLEST: dict[str, Any] = {
    "name": "m", "task": "regression", "target": "y", "key": ["k"], "event_time": "t", "partition": "day",
    "source": {"files": "/data/{partition}.csv"},
}  # fmt: skip
PROFIT: dict[str, Any] = {"function": "company.metrics:profit", "greater_is_better": True, "low": 0}


def spec(**changes: Any) -> ModelSpec:
    return ModelSpec.from_dict({**SMALLEST, **changes})


def problems(**changes: Any) -> list[str]:
    with pytest.raises(SpecError) as raised:
        spec(**changes)
    return list(raised.value.problems)


def test_it_can_be_named_wherever_a_metric_can() -> None:
    named = spec(
        train={"metrics": {"profit": PROFIT}, "metric": "profit"},
        gates={
            "floor": {"profit": 5, "mae": 3},
            "slices": {"by": ["a"], "floor": {"profit": 1}},
            "fairness": {"by": ["b"], "gaps": {"profit": 2}},
        },
        monitor={"performance": {"floor": {"profit": 4}}},
    )
    assert (named.metric.name, named.metric.low, named.metric.high) == ("profit", 0, inf)
    assert ModelSpec.from_dict(named.to_dict()) == named
    assert find("profit") is None


def test_a_spec_in_python_is_read_alike() -> None:
    train = Train(metrics={"profit": OwnMetric(function="m:f", greater_is_better=False)}, metric="profit")
    named = ModelSpec(**{**SMALLEST, "train": train, "gates": {"floor": {"profit": 1}}})
    assert not named.metric.greater_is_better
    with pytest.raises(SpecError, match="'profit' is no metric"):
        Gates(floor={"profit": 1})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": {"metric": "profit"}}, "train.metric: 'profit' is no metric; allowed"),
        ({"train": {"metrics": {"profit": PROFIT}, "metric": "profid"}}, "train.metric: 'profid' is no metric; did you mean 'profit'?"),
        ({"train": {"metrics": {"profit": PROFIT}}, "gates": {"floor": {"profit": -1}}}, "gates.floor.profit: cannot be -1: profit is at least 0"),
        ({"train": {"metrics": {"rmse": PROFIT}}}, "train.metrics.rmse: 'rmse' is a name of ours already"),
        ({"train": {"metrics": {"f2": PROFIT}}}, "train.metrics.f2: 'f2' is a name of ours already"),
        ({"train": {"metrics": {"calibration": PROFIT}}}, "train.metrics.calibration: 'calibration' is a name of ours already"),
        ({"train": {"metrics": {"My Profit": PROFIT}}}, "train.metrics['My Profit']: 'My Profit' cannot name a metric"),
        ({"train": {"metrics": {"profit": {**PROFIT, "function": "profit"}}, "metric": "profit"}}, "train.metrics.profit.function: must be written module:function"),
        ({"train": {"metrics": {"profit": {"function": "m:f"}}}}, "train.metrics.profit.greater_is_better: is required"),
        ({"train": {"metrics": {"profit": {**PROFIT, "high": -1}}}}, "train.metrics.profit: low, 0, must be below high, -1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_once_with_its_place(changes: dict[str, Any], said: str) -> None:
    [problem] = problems(**changes)
    assert problem.startswith(said)


def test_the_schema_knows_a_name_of_ones_own_only_where_metrics_are_described() -> None:
    named: dict[str, Any] = {
        "gates": {"floor": {"profit": 5, "f2": 0.1}, "slices": {"by": ["a"], "floor": {"profit": 1}}},
        "monitor": {"performance": {"floor": {"profit": 4}}},
    }
    schema = Draft202012Validator(specs.json_schema())
    train = {"metric": "profit", "metrics": {"profit": PROFIT}}
    assert schema.is_valid({**SMALLEST, **named, "train": train})
    for section in named:
        assert not schema.is_valid({**SMALLEST, section: named[section]})
    assert not schema.is_valid({**SMALLEST, "train": {"metric": "profit"}})
    assert schema.is_valid(
        {**SMALLEST, "train": {"metric": "pinball_97.5"}, "gates": {"floor": {"pinball_2.5": 3}}}
    )
