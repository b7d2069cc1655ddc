from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import SpecError

FRAUD: dict[str, Any] = {
    "name": "fraud",
    "task": "classification",
    "target": "fraud",
    "key": ["payment"],
    "event_time": "at",
    "partition": "day",
    "source": {"files": "/data/{partition}.parquet"},
}
COSTS = {"costs": {"false_positive": 1, "false_negative": 20}}


def test_costs_imply_a_threshold() -> None:
    spec = ModelSpec.from_dict({**FRAUD, "decision": COSTS, "train": {"metric": "expected_cost"}})
    assert spec.decision is not None
    assert spec.decision.costs is not None
    assert spec.decision.costs.threshold == 1 / 21
    assert ModelSpec.from_dict(spec.to_dict()) == spec
    question = Question.of(spec)
    assert question.costs == spec.decision.costs
    assert Question.from_dict(question.to_dict()) == question


def test_a_spec_without_a_decision_is_written_as_ever() -> None:
    spec = ModelSpec.from_dict(FRAUD)
    assert "decision" not in spec.to_dict()
    assert "decision" not in Question.of(spec).to_dict()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decision": {}}, "decision: takes one of costs, metric and threshold, not none of them"),
        ({"decision": {"metric": "f1", "threshold": 0.2}}, "not metric and threshold"),
        ({"decision": {"threshold": 1}}, "decision.threshold: must be below 1"),
        ({"decision": {"threshold": 0}}, "decision.threshold: must be above 0"),
        ({"decision": {"costs": {"false_positive": 0, "false_negative": 1}}}, "must be above 0, not 0"),
        ({"decision": {"costs": {"false_positive": 1}}}, "costs.false_negative: is required"),
        (
            {"decision": {"costs": {"a": {"b": 1}}}},
            "costs: names classes, and there are two, a and b: write costs",
        ),
        ({"decision": {"metric": "recall"}}, "it is best with all rows called positive"),
        ({"decision": {"metric": "roc_auc"}}, "which no threshold changes; allowed: f1"),
        ({"decision": {"metric": "expected_cost"}}, "is what costs choose by"),
        (
            {"decision": {"threshold": 0.2}, "classes": ["a", "b", "c"]},
            "is for two classes, and classes names 3",
        ),
        (
            {"decision": COSTS, "classes": ["a", "b", "c"]},
            "decision.costs: is of two classes, and classes names 3: write",
        ),
        ({"decision": COSTS, "task": "regression"}, "is for classification"),
        ({"train": {"metric": "expected_cost"}}, "train.metric: expected_cost needs costs"),
        (
            {"decision": {"metric": "f1"}, "gates": {"floor": {"expected_cost": 1}}},
            "gates.floor.expected_cost",
        ),
        (
            {"gates": {"slices": {"by": ["shop"], "floor": {"expected_cost": 1}}}},
            "gates.slices.floor.expected_cost: expected_cost needs costs",
        ),
        (
            {"monitor": {"performance": {"floor": {"expected_cost": 1}}}},
            "monitor.performance.floor.expected_cost: expected_cost needs costs",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message.replace("(", r"\(")) as caught:
        ModelSpec.from_dict({**FRAUD, **changes})
    assert len(caught.value.problems) == 1


def test_a_wrong_decision_is_one_problem_and_not_two() -> None:
    with pytest.raises(SpecError) as caught:
        ModelSpec.from_dict(
            {**FRAUD, "decision": {"costs": {"false_positive": -1}}, "train": {"metric": "expected_cost"}}
        )
    assert not any("needs costs" in problem for problem in caught.value.problems)


def test_costs_follow_the_positive_class_of_a_version_that_had_the_other_one() -> None:
    spec = ModelSpec.from_dict({**FRAUD, "decision": COSTS, "classes": ["no", "yes"]})
    question = Question.of(spec)
    assert question.costs_of(("no", "yes")) == question.costs
    turned = question.costs_of(("yes", "no"))
    assert turned is not None
    assert (turned.false_positive, turned.false_negative) == (20, 1)


@pytest.mark.parametrize(
    ("order", "is_turned"),
    [
        (("yes", "no"), True),
        (("no", "yes"), False),
        (("1", "0"), True),
        (("0", "1"), False),
        (("10", "9"), False),
    ],
)
def test_costs_follow_the_positive_class_of_a_version_from_when_classes_were_named(
    order: tuple[str, str], is_turned: bool
) -> None:
    question = Question.of(ModelSpec.from_dict({**FRAUD, "decision": COSTS}))
    costs = question.costs_of(order)
    assert costs is not None
    assert (costs.false_positive, costs.false_negative) == ((20, 1) if is_turned else (1, 20))


def test_an_operator_that_ranks_by_cost_needs_costs_too() -> None:
    with pytest.raises(ValidationError, match="expected_cost needs costs"):
        Question(target="fraud", task="classification", metric="expected_cost")
