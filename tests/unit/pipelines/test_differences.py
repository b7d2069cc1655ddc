from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops import DataSpec, ModelSpec
from airflow_mlops.pipelines.differences import task_changes

SPEC: dict[str, Any] = {
    "name": "parcels",
    "task": "classification",
    "target": "late",
    "key": ["id"],
    "event_time": "at",
    "partition": "month",
    "source": {"files": "/data/{partition}.parquet"},
    "alerts": {"email": ["a@example.com"]},
}

CHECK = "expect_column_values_to_not_be_null"


def changes(**values: Any) -> list[tuple[str, str | None, str, tuple[str, ...]]]:
    before, after = ModelSpec.from_dict(SPEC), ModelSpec.from_dict(SPEC | values)
    return [(change.dag, change.task, change.how, change.settings) for change in task_changes(before, after)]


def test_the_same_spec_has_the_same_tasks() -> None:
    assert changes() == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"gates": {"floor": {"roc_auc": 0.7}}}, [("parcels.train", "evaluate", "changed", ("gates",))]),
        ({"retrain": {"cooldown": 2}}, [("parcels.train", "decide", "changed", ("policy",))]),
        ({"schedule": "0 6 1 * *"}, [("parcels.ingest", None, "changed", ("schedule",))]),
        (
            {"transform": "features:prepare"},
            [("parcels.ingest", "ingest", "changed", ("transform",))],
        ),
        (
            {"source": {"files": "/other/{partition}.parquet"}},
            [("parcels.ingest", "ingest", "changed", ("source",))],
        ),
        (
            {"train": {"candidates": ["sklearn.linear_model.LogisticRegression"]}},
            [("parcels.train", "train", "changed", ("candidate", "ranked"))],
        ),
    ],
)
def test_a_task_is_named_with_what_is_set_otherwise(values: dict[str, Any], expected: list[Any]) -> None:
    found = [change for change in changes(**values) if change[3] != ("page",)]
    assert found == expected


def test_lists_whose_order_says_nothing_and_suites_leave_the_tasks_as_they_are(tmp_path: Path) -> None:
    checks = [{name: {"column": "weight"}} for name in ("expect_column_to_exist", CHECK)]
    values: dict[str, Any] = {
        "key": ["id", "depot"],
        "features": {"numeric": ["weight", "size"], "text": ["a", "b"]},
        "validate": checks,
        "train": {
            "candidates": ["sklearn.naive_bayes.GaussianNB", "sklearn.linear_model.LogisticRegression"]
        },
        "alerts": {"email": ["a@example.com", "b@example.com"]},
    }
    turned = {
        "key": values["key"][::-1],
        "features": {name: columns[::-1] for name, columns in values["features"].items()},
        "validate": checks[::-1],
        "train": {"candidates": values["train"]["candidates"][::-1]},
        "alerts": {"email": values["alerts"]["email"][::-1]},
    }
    before = ModelSpec.from_dict(SPEC | values)
    assert task_changes(before, ModelSpec.from_dict(SPEC | turned)) == ()
    kept = [{"type": name, "kwargs": {"column": "weight"}} for entry in checks for name in entry]
    (tmp_path / "suite.json").write_text(json.dumps({"name": "parcels", "expectations": kept}))
    moved = ModelSpec.from_dict(SPEC | values | {"validate": [{"suite": "suite.json"}]})
    assert task_changes(before, moved, tmp_path) == ()


def test_an_estimator_that_takes_all_features_in_place_of_one_is_trained_by_another_task() -> None:
    forest = "sklearn.ensemble.RandomForestClassifier"
    before, after = (
        ModelSpec.from_dict(SPEC | {"train": {"candidates": [{forest: {"max_features": count}}]}})
        for count in (1, 1.0)
    )
    (change,) = task_changes(before, after)
    assert (change.task, change.settings) == ("train", ("candidate",))


def test_tasks_that_ask_people_are_new_and_the_one_that_mails_is_gone() -> None:
    asked = changes(gates={"approval": "one"})
    assert ("parcels.train", "approve", "added", ()) in asked
    quiet = changes(alerts={})
    assert [change[:3] for change in quiet if change[2] == "removed"] == [
        (f"parcels.{stage}", "alert", "removed")
        for stage in ("ingest", "score", "monitor", "train", "rollback")
    ]


def test_data_alone_that_becomes_a_model_has_four_dags_more() -> None:
    values = {key: value for key, value in SPEC.items() if key not in ("task", "target", "features")}
    grown = task_changes(DataSpec.from_dict(values), ModelSpec.from_dict(SPEC))
    assert [change.dag for change in grown if change.how == "added"] == [
        f"parcels.{stage}" for stage in ("score", "monitor", "train", "rollback")
    ]


def test_another_name_is_five_other_dags() -> None:
    stages = ("ingest", "score", "monitor", "train", "rollback")
    assert changes(name="boxes") == [
        *((f"boxes.{stage}", None, "added", ()) for stage in stages),
        *((f"parcels.{stage}", None, "removed", ()) for stage in stages),
    ]
    assert len(task_changes(None, ModelSpec.from_dict(SPEC))) == 5
