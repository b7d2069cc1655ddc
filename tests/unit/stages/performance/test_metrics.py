from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.spec.costs import Costs
from airflow_mlops.domain.spec.decision import Decision
from airflow_mlops.learning.labels.coding import TRUTH, Coding
from airflow_mlops.stages.performance import metrics


@pytest.mark.parametrize("own", [("fair", "good", "bad"), ("bad", "fair", "good")])
def test_the_constant_of_many_classes_is_their_most_frequent_one_though_the_spec_has_costs_by_now(
    own: tuple[str, ...],
) -> None:
    decision = Decision(costs=Costs(false_positive=1, false_negative=20))
    question = Question(target="wear", task="classification", metric="accuracy", decision=decision)
    rows = pa.table({TRUTH: np.repeat(["bad", "fair", "good"], [80, 12, 8])})
    naive = metrics.naive(
        rows, Coding.of(question, own), None, {"bad": 0.7, "fair": 0.2, "good": 0.1}, "accuracy"
    )
    assert naive["accuracy"] == 0.8
