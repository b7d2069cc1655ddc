"""Weights, class weights and groups in a spec."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.recipe import TrainingConfig
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import SpecError


def make_spec(*, train: dict[str, Any], **changes: Any) -> ModelSpec:
    values: dict[str, Any] = {
        "name": "flights",
        "task": "classification",
        "target": "late",
        "key": ["customer", "flight"],
        "event_time": "departure",
        "partition": "day",
        "source": {"sql": {"conn_id": "db", "query": "select * from flights where day = :partition"}},
        "features": {"numeric": ["wind"]},
        "train": train,
    }
    return ModelSpec.from_dict(values | changes)


def test_weights_and_groups_are_part_of_how_a_model_is_trained() -> None:
    spec = make_spec(train={"weights": "value", "class_weight": {True: 5, "0": 1}, "groups": "customer"})
    config = TrainingConfig.of(spec)
    assert config.class_weight == {"1": 5.0, "0": 1.0}
    assert (config.groups, config.question.weights) == ("customer", "value")
    assert ModelSpec.from_dict(spec.to_dict()) == spec


def test_a_question_without_weights_is_written_as_before() -> None:
    assert "weights" not in Question.of(make_spec(train={})).to_dict()
    assert {"groups", "class_weight"}.isdisjoint(TrainingConfig.of(make_spec(train={})).to_dict())


@pytest.mark.parametrize(
    ("train", "problem"),
    [
        ({"weights": "late"}, "train.weights: 'late' is the target"),
        ({"weights": "customer"}, "train.weights: 'customer' is in the key"),
        ({"weights": "wind"}, "train.weights: 'wind' is a feature too"),
        ({"weights": "score"}, "train.weights: 'score' is a column of the predictions table"),
        ({"groups": "departure"}, "train.groups: 'departure' is the event time"),
        ({"groups": "value", "weights": "value"}, "train.groups: 'value' is the column of weights"),
        ({"class_weight": "even"}, "train.class_weight: must be balanced, or a weight for each class"),
        ({"class_weight": {}}, "train.class_weight: must be balanced"),
        (
            {"class_weight": {"1": 0}},
            "train.class_weight.1: must be a finite number above 0, not the number 0",
        ),
        ({"class_weight": {"1": 2, True: 3}}, "is the same class as another one"),
        (
            {"candidates": [{"sklearn.linear_model.LogisticRegression": {"class_weight": {"0": 1, "1": 5}}}]},
            "train.candidates[0]: class_weight cannot name classes here: estimators see them as the numbers 0, 1",
        ),
        (
            {
                "candidates": [
                    {
                        "sklearn.linear_model.LogisticRegression": {
                            "search": {"class_weight": ["balanced", {"1": 5}]}
                        }
                    }
                ]
            },
            "train.candidates[0]: class_weight cannot name classes here",
        ),
        (
            {
                "class_weight": "balanced",
                "candidates": [{"sklearn.linear_model.LogisticRegression": {"class_weight": "balanced"}}],
            },
            "train.candidates[0]: sets class_weight too",
        ),
    ],
)
def test_what_cannot_weigh_or_group_is_named(train: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError) as refused:
        make_spec(train=train)
    assert problem in str(refused.value)


def test_a_weight_of_an_unknown_class_is_refused() -> None:
    with pytest.raises(SpecError, match=r"train\.class_weight\.chep: is no class.*did you mean 'cheap'"):
        make_spec(train={"class_weight": {"chep": 2}}, classes=["cheap", "dear"])


def test_a_regression_has_no_class_weight() -> None:
    with pytest.raises(SpecError, match="class_weight: belongs to classification; weights is for any task"):
        make_spec(train={"class_weight": "balanced"}, task="regression")


@pytest.mark.parametrize("setting", ["weights", "groups"])
def test_a_closed_form_is_refused_where_rows_are_weighted_or_depend_on_each_other(setting: str) -> None:
    with pytest.raises(SpecError, match=rf"delong .* there are train\.{setting}; use bootstrap"):
        make_spec(train={setting: "account"}, gates={"versus_champion": {"test": "delong"}})
