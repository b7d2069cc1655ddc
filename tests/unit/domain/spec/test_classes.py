from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import SpecError

SPEC: dict[str, Any] = {
    "name": "wines",
    "task": "classification",
    "target": "grape",
    "key": ["bottle"],
    "event_time": "bottled",
    "partition": "month",
    "source": {"files": "{partition}.parquet"},
}


def spec(**changes: Any) -> ModelSpec:
    return ModelSpec.from_dict(SPEC | changes)


def test_classes_are_texts_numbers_or_truth_values_in_order() -> None:
    assert Question.of(spec()).classes == ()
    assert Question.of(spec(classes=["pinot", "merlot"])).classes == ("pinot", "merlot")
    assert Question.of(spec(classes=[3, 1, 2])).classes == ("3", "1", "2")
    assert Question.of(spec(classes=[False, True])).classes == ("0", "1")
    assert ModelSpec.from_dict(spec(classes=["a", "b"]).to_dict()).classes == ("a", "b")


@pytest.mark.parametrize(
    ("classes", "problem"),
    [
        (["a"], "classes: must name from 2 to 1,000 classes, not 1"),
        ([f"c{number}" for number in range(1_001)], "must name from 2 to 1,000 classes, not 1,001"),
        ("ab", "classes: must be a list of classes"),
        ([1, "1"], r"classes\[1\]: is the same class as 1"),
        ([True, 1], r"classes\[1\]: is the same class as True"),
        ([1.5, 2], r"classes\[0\]: must be a text, a whole number"),
        (["", "b"], r"classes\[0\]: must be a text"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(classes: Any, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        spec(classes=classes)


def test_a_regression_has_no_classes() -> None:
    with pytest.raises(SpecError, match="classes: belong to classification"):
        spec(task="regression", classes=["a", "b"])


@pytest.mark.parametrize("task", ["anomaly", "outlier_detection"])
def test_a_task_that_the_loop_cannot_judge_is_refused_with_the_reason(task: str) -> None:
    with pytest.raises(
        SpecError, match=f"task: cannot be '{task}': an outlier detector that no label.*IsolationForest"
    ):
        spec(task=task)
    with pytest.raises(SpecError, match="task: cannot be 'clasification'; did you mean 'classification'"):
        spec(task="clasification")
