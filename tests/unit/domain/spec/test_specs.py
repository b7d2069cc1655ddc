"""Which kind of spec a file holds: one that asks for less grows into the whole by adding lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from airflow_mlops import DataSpec, ModelSpec, MonitoringSpec, load_spec
from airflow_mlops.domain.spec import specs
from airflow_mlops.exceptions import SpecError

DATA = """
name: orders
key: [order_id]
event_time: ordered_at
partition: day
source: {files: "/data/orders/{partition}.csv"}
validate:
  - expect_column_values_to_be_between: {column: price, min_value: 0, severity: quarantine}
alerts: {email: [data@example.com]}
"""
WATCHED = f"""{DATA}task: classification
target: returned
predictions: {{prediction: says, probability: p}}
"""


def load(folder: Path, text: str) -> DataSpec:
    file = folder / "orders.yaml"
    file.write_text(text)
    return load_spec(file)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(SpecError) as error:
        load(folder, text)
    return error.value.problems


def test_without_task_and_target_a_spec_is_of_data_alone(tmp_path: Path) -> None:
    spec = load(tmp_path, DATA)
    assert type(spec) is DataSpec
    assert (spec.columns, spec.filled, spec.types, spec.comparison) == ((), (), None, None)
    assert spec.alerts.email == ("data@example.com",)
    assert DataSpec.from_dict(spec.to_dict()) == spec


def test_lines_make_it_a_model_of_the_same_data(tmp_path: Path) -> None:
    less = load(tmp_path, DATA)
    whole = load(tmp_path, f"{DATA}task: regression\ntarget: price\nfeatures: {{numeric: [weight]}}\n")
    assert isinstance(whole, ModelSpec)
    for name in DataSpec.model_fields:
        assert getattr(whole, name) == getattr(less, name)
    assert (whole.columns, whole.filled) == (("weight", "price"), ("weight",))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("train: {holdout: 1}\n", "line 10, train: makes this the spec of a model, which needs task and target too; leave it out"),
        ("target: price\n", "line 10, target: makes this the spec of a model, which needs task too; leave it out"),
    ],
)  # fmt: skip
def test_a_line_of_a_model_says_which_others_it_needs(tmp_path: Path, lines: str, said: str) -> None:
    told = problems(tmp_path, DATA + lines)
    assert any(problem.startswith(said) for problem in told)
    assert any(problem.startswith("task: is required") for problem in told)


def test_predictions_make_it_a_spec_of_another_system_s(tmp_path: Path) -> None:
    spec = load(tmp_path, WATCHED)
    assert isinstance(spec, MonitoringSpec)
    assert spec.columns == ("says", "p")
    assert (spec.metric.name, spec.predictions.reference) == ("roc_auc", 3)
    assert MonitoringSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("target: returned\n", "", "line 11, predictions: makes this the spec of another system's predictions, which needs target too"),
        ("target", "train: {holdout: 1}\ntarget", "line 11, train: is of a model that is trained here, and predictions are of another"),
        ("prediction: says, probability: p", "", "line 12, predictions: names no column: write prediction, probability or"),
        ("probability: p", "metric: roc_auc", "line 12, predictions.metric: roc_auc needs probabilities: name their column"),
        ("probability: p", "calibrated: true", "line 12, predictions.calibrated: is about the column of probability, and names none"),
        ("probability: p", "probabilities: {a: p, b: q, c: r}", "line 12, predictions.probabilities: must name a column for each of classes"),
        ("says, probability: p", "returned", "line 12, predictions.prediction: 'returned' is the target"),
        ("says,", "says, reference: 2024-02-01..2024-01-01,", "line 12, predictions.reference: 2024-01-01 is before 2024-02-01"),
        ("says,", "says, reference: 2024-02,", "line 12, predictions.reference: "),
        ("says,", "says, reference: first,", "line 12, predictions.reference: must be how many partitions, such as 3, or which"),
        ("says,", "says, reference: 0,", "line 12, predictions.reference: must be how many partitions, such as 3, or which: 2024-01, or"),
        ("says,", "says, reference: 1.0,", "line 12, predictions.reference: must be how many partitions, such as 3, or which: 2024-01, or"),
        ("prediction: says", "prediction: p", "line 12, predictions: names the column 'p' more than once; each has its own"),
        ("classification", "regression", "line 12, predictions.probability: is for classification; leave it out"),
        ("predictions:", "monitor: {staleness: 3}\npredictions:", "line 12, monitor.staleness: is about a champion of ours"),
        ("predictions:", "monitor: {drift: {reference: seen}}\npredictions:", "line 12, monitor.drift.reference: is about training data"),
        ("predictions:", "monitor: {drift: {season: month}}\npredictions:", "line 12, monitor.drift.season: is about training data"),
    ],
)  # fmt: skip
def test_what_does_not_suit_predictions_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert any(problem.startswith(said) for problem in problems(tmp_path, WATCHED.replace(old, new, 1)))


def test_what_no_spec_has_is_refused(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, f"{DATA}quarantined: 0.2\n")
    assert problem.startswith("line 10, quarantined: is no key; did you mean 'max_quarantined'? allowed: ")


def test_a_relative_path_is_looked_for_beside_the_file_that_calls() -> None:
    with pytest.raises(SpecError, match=rf"looked for {Path(__file__).parent}/nowhere.yaml"):
        load_spec("nowhere.yaml")


@pytest.mark.parametrize(
    ("more", "is_valid"),
    [
        ({}, True),
        ({"task": "regression", "target": "price"}, True),
        ({"task": "regression"}, False),
        ({"train": {"holdout": 1}}, False),
        ({"orders": 1}, False),
        ({"task": "regression", "target": "price", "predictions": {"prediction": "guess"}}, True),
        ({"predictions": {"prediction": "guess"}}, False),
        (
            {"task": "regression", "target": "price", "predictions": {"prediction": "guess"}, "train": {}},
            False,
        ),
    ],
)
def test_editors_are_told_the_same(more: dict[str, Any], is_valid: bool) -> None:
    values = {
        "name": "orders", "key": ["order_id"], "event_time": "ordered_at", "partition": "day",
        "source": {"files": "/data/orders/{partition}.csv"},
    }  # fmt: skip
    schema = specs.json_schema()
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(values | more) is is_valid
