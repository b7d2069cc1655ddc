from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.spec.costs import ClassCosts, CostMatrix
from airflow_mlops.domain.spec.decision import Decision
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import SpecError

FAULTS: dict[str, Any] = {
    "name": "faults",
    "task": "classification",
    "target": "fault",
    "key": ["machine"],
    "event_time": "at",
    "partition": "day",
    "source": {"files": "/data/{partition}.parquet"},
}
WHOLE = {
    "none": {"minor": 1, "major": 2},
    "minor": {"none": 5, "major": 1},
    "major": {"none": 100, "minor": 20},
}


def spec_of(costs: Any, **changes: Any) -> ModelSpec:
    return ModelSpec.from_dict({**FAULTS, "decision": {"costs": costs}, **changes})


@pytest.mark.parametrize("classes", [[], ["none", "minor", "major"]])
def test_each_mistake_has_a_cost(classes: list[str]) -> None:
    spec = spec_of(WHOLE, classes=classes, train={"metric": "expected_cost"})
    assert spec.decision is not None
    assert isinstance(spec.decision.costs, ClassCosts)
    matrix = spec.decision.costs.among(("none", "minor", "major"))
    assert matrix == CostMatrix(rows=((0, 1, 2), (5, 0, 1), (100, 20, 0)))
    assert matrix.whole
    assert ModelSpec.from_dict(spec.to_dict()) == spec
    assert spec.to_dict()["decision"]["costs"] == WHOLE
    question = Question.of(spec)
    assert Question.from_dict(question.to_dict()) == question
    turned = question.costs_of(("major", "none", "minor"))
    assert turned == CostMatrix(rows=((0, 100, 20), (2, 0, 1), (1, 5, 0)))
    assert Decision(costs=ClassCosts(pairs=WHOLE)) == spec.decision


def test_mistakes_that_are_not_named_cost_what_default_says() -> None:
    costs = ClassCosts.from_dict({"major": {"none": 100}, "default": 1})
    assert costs.among(("none", "major", "new")) == CostMatrix(
        rows=((0, 1, 1), (100, 0, 1), (1, 1, 0)), other=1
    )
    assert ClassCosts.from_dict(costs.to_dict()) == costs
    # A class may have that name, as long as each pair is named.
    named = {**WHOLE, "default": {"none": 1, "minor": 1, "major": 1}}
    for row in ("none", "minor", "major"):
        named[row] = {**named[row], "default": 3}
    assert ClassCosts.from_dict(named).default is None
    assert ClassCosts.from_dict(named).among(("default", "none")).rows == ((0, 1), (3, 0))


def test_a_class_is_known_by_its_text() -> None:
    costs = ClassCosts.from_dict({True: {0: 4}, "default": 2})
    assert costs.among(("0", "1", "2")).rows == ((0, 2, 2), (4, 0, 2), (2, 2, 0))
    spec = spec_of({0: {1: 1, 2: 2}, "1": {0: 5, 2: 1}, 2: {0: 9, "1": 3}}, classes=[0, 1, 2])
    assert spec.decision is not None


def test_what_a_class_costs_that_nothing_names_is_not_known() -> None:
    costs = ClassCosts.from_dict(WHOLE)
    matrix = costs.among(("none", "minor", "new"))
    assert matrix == CostMatrix(rows=((0, 1, None), (5, 0, None), (None, None, 0)))
    assert not matrix.whole


@pytest.mark.parametrize(
    ("costs", "changes", "message"),
    [
        (
            {**WHOLE, "major": {"none": 100}},
            {},
            "decision.costs.major: says no cost of 'minor' in its place: add major: {minor: …}",
        ),
        (
            WHOLE,
            {"classes": ["none", "minor"]},
            "decision.costs: names classes, and there are two, none and minor",
        ),
        (
            WHOLE,
            {"classes": ["none", "minor", "mayor", "major"]},
            "decision.costs.none: says no cost of 'mayor' in its place",
        ),
        (
            {"default": 1, "mayor": {"none": 2}},
            {"classes": ["none", "minor", "major"]},
            "costs.mayor: is no class",
        ),
        (
            {"default": 1, "major": {"nome": 2}},
            {"classes": ["none", "minor", "major"]},
            "costs.major.nome: is no class",
        ),
        (
            {"default": -1, "major": {"none": 2}},
            {},
            "costs.default: must be a number from 0 to 1e+12, not the number -1",
        ),
        ({"default": 1, "major": {"none": "2"}}, {}, "costs.major.none: must be a number from 0"),
        ({"default": 1, "major": {"none": float("nan")}}, {}, "costs.major.none: must be a number from 0"),
        (
            {"default": 1, "major": {"major": 2}},
            {},
            "costs.major.major: is right, and a right decision costs nothing",
        ),
        (
            {"default": 1, "major": 2},
            {},
            "costs.major: must be the cost of each class that can be chosen in its place",
        ),
        ({"default": 1, 1: {0: 1}, "1": {0: 2}}, {}, "costs.1: is the same class as another one"),
        ({"default": 1, "a": {"b": 2}}, {"task": "regression"}, "decision: is for classification"),
    ],
)
def test_costs_that_cannot_be_say_where_and_why(costs: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(costs, **changes)
    assert any(message in problem for problem in caught.value.problems), caught.value.problems
