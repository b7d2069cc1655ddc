from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import SpecError

CHURN = {
    "name": "churn", "task": "classification", "target": "churned", "key": ["customer"], "event_time": "at",
    "partition": "month", "source": {"files": "/x/{partition}.csv"},
}  # fmt: skip
DEMAND = {**CHURN, "name": "demand", "task": "regression", "target": "sold"}
THREE = {**CHURN, "classes": ["low", "middle", "high"]}
OF_A_CLASS = "judges bounds of predicted numbers, and a class has a probability; leave it out"
WITHOUT_BOUNDS = (
    "judges the bounds of train.intervals, and there are none: write train: {intervals: {}}, or leave it out"
)
APART = "is for labels that come apart from the data: write labels.source, or leave it out"


def problems(spec: dict[str, Any]) -> list[str]:
    with pytest.raises(SpecError) as raised:
        ModelSpec.from_dict(spec)
    return list(raised.value.problems)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({**CHURN, "gates": {"intervals": 0.1}}, f"gates.intervals: {OF_A_CLASS}"),
        ({**DEMAND, "gates": {"intervals": 0.1}}, f"gates.intervals: {WITHOUT_BOUNDS}"),
        ({**CHURN, "monitor": {"performance": {"intervals": 0.1}}}, f"monitor.performance.intervals: {OF_A_CLASS}"),
        ({**DEMAND, "monitor": {"performance": {"intervals": 0.1}}}, f"monitor.performance.intervals: {WITHOUT_BOUNDS}"),
        ({**CHURN, "retrain": {"when": {"intervals": "2 of 3"}}}, f"retrain.when.intervals: {OF_A_CLASS}"),
        ({**DEMAND, "retrain": {"when": {"intervals": "2 of 3"}}}, f"retrain.when.intervals: {WITHOUT_BOUNDS}"),
        (
            {
                **DEMAND, "train": {"intervals": {}}, "monitor": {"performance": {"intervals": None}},
                "retrain": {"when": {"intervals": "2 of 3"}},
            },
            "retrain.when.intervals: needs monitor.performance.intervals, which is null: write how far, or leave one out",
        ),
        (
            {**CHURN, "retrain": {"when": {"concept": "2 of 3"}}},
            "retrain.when.concept: needs monitor: {performance: {concept: 0.002}}, which looks for concept drift; or leave it out",
        ),
        (
            {**THREE, "train": {"metric": "top_3_accuracy"}},
            "train.metric: top_3_accuracy is 1 of every model, as classes names 3; take accuracy or top_2_accuracy",
        ),
        (
            {**THREE, "gates": {"slices": {"by": ["g"], "floor": {"top_4_accuracy": 0.9}}}},
            "gates.slices.floor.top_4_accuracy: top_4_accuracy is 1 of every model, as classes names 3; take accuracy or top_2_accuracy",
        ),
        (
            {**CHURN, "classes": ["no", "yes"], "monitor": {"performance": {"floor": {"top_2_accuracy": 0.9}}}},
            "monitor.performance.floor.top_2_accuracy: top_2_accuracy is 1 of every model, as classes names 2; take accuracy",
        ),
        (
            {**THREE, "gates": {"versus_champion": {"test": "delong"}}},
            "gates.versus_champion.test: delong compares two classes, and classes names 3; use bootstrap",
        ),
        ({**CHURN, "labels": {"on_unmatched": "block"}}, f"labels.on_unmatched: {APART}"),
        ({**CHURN, "labels": {"max_unmatched": 0.3}}, f"labels.max_unmatched: {APART}"),
        (
            {**CHURN, "features": {"categorical": ["a"], "missing": "indicate"}},
            "features.missing: adds a column for each number that has gaps, and numeric lists none; leave it out",
        ),
        (
            {**CHURN, "skew": {"severity": "quarantine"}},
            "skew.severity: cannot be quarantine, as no single row is skewed; write warn or block",
        ),
        (
            {**CHURN, "gates": {"approval": {"people": "none", "timeout": "P1D"}}},
            "gates.approval: asks nobody, so timeout has no effect; write people: one, or two",
        ),
    ],
)  # fmt: skip
def test_a_key_that_would_judge_nothing_is_refused_with_what_it_lacks(
    spec: dict[str, Any], says: str
) -> None:
    assert problems(spec) == [says]


@pytest.mark.parametrize(
    ("place", "sections"),
    [
        ("gates.versus_champion.margin", {"gates": {"versus_champion": {"margin": 60}}}),
        ("gates.stability.drop", {"gates": {"stability": {"drop": 60}}}),
        ("gates.shadow.margin", {"gates": {"shadow": {"margin": 60}}, "score": {"shadow": True}}),
        ("monitor.performance.drop", {"monitor": {"performance": {"drop": 60}}}),
        ("monitor.performance.baseline", {"monitor": {"performance": {"baseline": 60}}}),
        ("monitor.rollback.margin", {"monitor": {"rollback": {"margin": 60}}}),
        ("gates.fairness.gaps.roc_auc", {"gates": {"fairness": {"by": ["g"], "gaps": {"roc_auc": 60}}}}),
    ],
)
def test_a_difference_that_no_two_values_of_its_metric_have_is_refused(
    place: str, sections: dict[str, Any]
) -> None:
    says = f"{place}: cannot be 60: values of roc_auc, 0 to 1, are never that far apart"
    assert problems({**CHURN, **sections}) == [says]
    if "fairness" not in place:
        assert ModelSpec.from_dict({**DEMAND, **sections}), "an rmse may be any number"


def test_a_gap_between_rates_is_a_share() -> None:
    gaps = {"selection_rate": 5}
    says = "gates.fairness.gaps.selection_rate: cannot be 5: values of selection_rate, 0 to 1, are never that far apart"
    assert problems({**CHURN, "gates": {"fairness": {"by": ["g"], "gaps": gaps}}}) == [says]


@pytest.mark.parametrize("values", [CHURN, DEMAND, {**DEMAND, "train": {"intervals": {}}}, THREE])
def test_what_a_spec_has_by_default_is_no_complaint_when_it_is_written_out(values: dict[str, Any]) -> None:
    spec = ModelSpec.from_dict(values)
    assert ModelSpec.from_dict(spec.to_dict()) == spec


def test_bounds_are_judged_where_there_are_some() -> None:
    spec = ModelSpec.from_dict(
        {
            **DEMAND,
            "train": {"intervals": {}},
            "gates": {"intervals": 0.1},
            "monitor": {"performance": {"intervals": 0.1}},
            "retrain": {"when": {"intervals": "2 of 3"}},
        }
    )
    assert spec.gates.intervals == spec.monitor.performance.intervals == 0.1


def test_a_metric_that_takes_in_fewer_classes_than_there_are_is_taken() -> None:
    assert ModelSpec.from_dict({**THREE, "train": {"metric": "top_2_accuracy"}})
    assert ModelSpec.from_dict({**CHURN, "train": {"metric": "top_3_accuracy"}}), "the data has the classes"
