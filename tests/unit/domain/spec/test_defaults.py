"""Tests of the editions of the defaults."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.spec import defaults
from airflow_mlops.domain.spec.fields import KofN
from airflow_mlops.domain.spec.model import ModelSpec, Retrain, RetrainWhen
from airflow_mlops.domain.spec.monitoring import MonitoringSpec
from airflow_mlops.exceptions import SpecError

SMALLEST: dict[str, Any] = {
    "name": "orders", "task": "classification", "target": "late", "key": ["id"], "event_time": "at",
    "partition": "month", "source": {"files": "/data/{partition}.parquet"},
}  # fmt: skip


def test_a_spec_that_names_no_edition_keeps_the_defaults_that_it_was_written_with() -> None:
    spec = ModelSpec.from_dict(SMALLEST)
    assert spec.retrain.when == RetrainWhen(drift=KofN(2, 3), performance=KofN(2, 3))
    assert "defaults" not in spec.to_dict()


@pytest.mark.parametrize("place", defaults.SECOND, ids=str)
def test_the_second_edition_gives_each_key_that_a_spec_leaves_out_its_value(place: tuple[str, ...]) -> None:
    written = ModelSpec.from_dict({**SMALLEST, "defaults": 2}).to_dict()
    as_said = ModelSpec.from_dict({**SMALLEST, **nested(place, defaults.SECOND[place])}).to_dict()
    for key in place:
        written, as_said = written[key], as_said[key]
    assert written == as_said


def nested(place: tuple[str, ...], value: Any) -> dict[str, Any]:
    for key in reversed(place):
        value = {key: value}
    return dict(value)


@pytest.mark.parametrize("retrain", [{"cooldown": 2}, Retrain(cooldown=2)], ids=["YAML", "Python"])
def test_the_second_edition_fills_in_beside_what_a_spec_says(retrain: Any) -> None:
    spec = ModelSpec(**{**SMALLEST, "defaults": 2, "retrain": retrain})
    assert spec.retrain.cooldown == 2
    assert spec.retrain.when.performance == KofN(1, 1)


def test_a_key_that_a_spec_has_is_left_alone_with_its_parts() -> None:
    spec = ModelSpec.from_dict({**SMALLEST, "defaults": 2, "retrain": {"when": {"every": 3}}})
    assert spec.retrain.when == RetrainWhen(every=3)
    assert spec.retrain.budget is None  # or it would hold back what the spec asks for


def test_a_spec_of_the_second_edition_is_the_same_when_it_is_read_again() -> None:
    spec = ModelSpec.from_dict({**SMALLEST, "defaults": 2})
    assert ModelSpec.from_dict(spec.to_dict()) == spec


def test_the_second_edition_recalibrates_probabilities_and_a_number_has_none() -> None:
    number = {**SMALLEST, "task": "regression"}
    assert ModelSpec.from_dict({**SMALLEST, "defaults": 2}).train.recalibrate
    assert not ModelSpec.from_dict({**number, "defaults": 2}).train.recalibrate
    assert not ModelSpec(**{**number, "task": Task.REGRESSION, "defaults": 2}).train.recalibrate
    theirs = {**SMALLEST, "defaults": 2, "train": {"elsewhere": "theirs"}}
    assert not ModelSpec.from_dict(theirs).train.recalibrate
    assert "train.recalibrate" not in defaults.newer(ModelSpec.from_dict(number))
    no = {**SMALLEST, "defaults": 2, "train": {"recalibrate": False}}
    assert not ModelSpec.from_dict(no).train.recalibrate


def test_models_that_are_trained_elsewhere_get_no_rules_about_training() -> None:
    spec = ModelSpec.from_dict({**SMALLEST, "defaults": 2, "train": {"elsewhere": "theirs"}})
    assert spec.retrain == Retrain()


def test_predictions_of_another_system_have_editions_of_what_is_watched() -> None:
    spec = MonitoringSpec.from_dict(
        {**SMALLEST, "defaults": 2, "predictions": {"prediction": "p", "reference": "2013-01"}}
    )
    assert (spec.defaults, spec.monitor.drift.reference) == (2, "training")


def test_an_edition_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(SpecError, match="defaults: cannot be 3; allowed: 1, 2"):
        ModelSpec.from_dict({**SMALLEST, "defaults": 3})


def test_what_an_upgrade_would_give_a_spec_is_what_it_leaves_out() -> None:
    every = {".".join(place): value for place, value in defaults.SECOND.items()}
    assert defaults.newer(ModelSpec.from_dict(SMALLEST)) == every
    monthly = ModelSpec.from_dict({**SMALLEST, "retrain": {"when": {"every": 3}}})
    assert defaults.newer(monthly) == {
        place: value for place, value in every.items() if place not in ("retrain.when", "retrain.budget")
    }
    assert not defaults.newer(ModelSpec.from_dict({**SMALLEST, "defaults": 2}))
    watched = MonitoringSpec.from_dict(
        {**SMALLEST, "predictions": {"prediction": "p", "reference": "2013-01"}}
    )
    assert [*defaults.newer(watched)] == ["monitor.performance.chance"]
