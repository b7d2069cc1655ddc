from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import SpecError

CHURN: dict[str, Any] = {
    "name": "churn", "task": "classification", "target": "churned", "key": ["customer"], "event_time": "at",
    "partition": "month", "source": {"files": "/x/{partition}.csv"},
}  # fmt: skip


def test_models_of_elsewhere_have_no_candidates_and_a_pickle_needs_a_word() -> None:
    train = ModelSpec.from_dict({**CHURN, "train": {"elsewhere": "notebook"}}).train
    assert (train.elsewhere, train.trust, train.candidates, train.metric) == (
        "notebook",
        "skops",
        (),
        "roc_auc",
    )
    spec = ModelSpec.from_dict({**CHURN, "train": {"elsewhere": "notebook", "trust": "pickle"}})
    assert ModelSpec.from_dict(spec.to_dict()) == spec
    assert ModelSpec.from_dict({**CHURN, "train": {"trust": "pickle"}}).train.candidates


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"train": {"seed": 1}}, "train.seed: says how models are trained here"),
        ({"train": {"budget": {"trials": 3}}}, "train.budget: says how models are trained here"),
        (
            {"train": {"candidates": ["sklearn.linear_model.LogisticRegression"]}},
            "train.candidates: says how models are trained here, and those of elsewhere: notebook are not: keep one of the two",
        ),
        ({"retrain": {"when": {"every": 2}}}, "retrain: says when models are trained here"),
        ({"decision": {"threshold": 0.3}}, "train.elsewhere: names models that are trained elsewhere, and `decision` cuts"),
        (
            {"gates": {"versus_champion": {"rescue": {"fallback": ["constant"]}}}},
            "gates.versus_champion.rescue.fallback: is trained here, and train.elsewhere says that nothing is",
        ),
        ({"train": {"trust": "all"}}, "train.trust: "),
    ],
)  # fmt: skip
def test_what_nothing_would_follow_is_refused(changes: dict[str, Any], says: str) -> None:
    train = {"elsewhere": "notebook", **changes.get("train", {})}
    with pytest.raises(SpecError) as raised:
        ModelSpec.from_dict({**CHURN, **changes, "train": train})
    assert any(problem.startswith(says) for problem in raised.value.problems), raised.value.problems
