from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.stages.preview import meaning

SPEC = """
name: flights
task: classification
target: late
key: [flight, day]
event_time: departure
partition: month
source: {files: "/data/{partition}.parquet"}
features:
  numeric: [distance, wind]
  categorical: [carrier]
validate:
  - expect_column_values_to_not_be_null: {column: distance}
  - expect_column_values_to_be_between: {column: wind, min_value: -9}
train:
  candidates:
    - sklearn.linear_model.LogisticRegression: {C: 1}
    - sklearn.ensemble.RandomForestClassifier: {n_estimators: 10, search: {max_depth: [2, 4]}}
gates: {floor: {roc_auc: 0.7}}
alerts: {email: [a@example.com, b@example.com]}
"""
SHUFFLED = """
# The same, by somebody who sorts keys and likes comments.
alerts: {email: [b@example.com, a@example.com], cooldown: PT24H}
gates:
  floor: {roc_auc: 0.70}   # as agreed
train:
  holdout: 1
  metric: roc_auc
  candidates:
    - sklearn.ensemble.RandomForestClassifier: {search: {max_depth: [2, 4]}, n_estimators: 10}
    - sklearn.linear_model.LogisticRegression: {C: 1}
validate:
  - expect_column_values_to_be_between: {min_value: -9, column: wind, severity: block}
  - expect_column_values_to_not_be_null: {column: distance}
features: {categorical: [carrier], numeric: [wind, distance]}
source:
  files: {path: "/data/{partition}.parquet"}
partition: month
timezone: UTC
event_time: departure
key: [day, flight]
target: late
task: classification
name: flights
"""


def load(folder: Path, text: str = SPEC) -> ModelSpec:
    (folder / "spec.yaml").write_text(text)
    return ModelSpec.load(folder / "spec.yaml")


def differences(folder: Path, former: str, present: str) -> list[tuple[str, Any, Any]]:
    assert former in SPEC
    text = SPEC.replace(former, present)
    before, after = meaning.values(load(folder)), meaning.values(load(folder, text))
    return [(change.place, change.before, change.after) for change in meaning.differences(before, after)]


def test_comments_order_and_what_is_written_out_though_it_is_the_default_change_nothing(
    tmp_path: Path,
) -> None:
    before, after = meaning.values(load(tmp_path)), meaning.values(load(tmp_path, SHUFFLED))
    assert meaning.differences(before, after) == ()


@pytest.mark.parametrize(
    ("former", "present", "expected"),
    [
        ("[distance, wind]", "[distance, wind, rain]", [("features.numeric", None, "rain")]),
        ("[distance, wind]", "[distance]", [("features.numeric", "wind", None)]),
        ("roc_auc: 0.7", "roc_auc: 0.8", [("gates.floor.roc_auc", 0.7, 0.8)]),
        ("{C: 1}", "{C: 2}", [("train.candidates.LogisticRegression.C", 1, 2)]),
        (
            "[2, 4]",
            "[4, 2]",
            [("train.candidates.RandomForestClassifier.search.max_depth", [2, 4], [4, 2])],
        ),
        (
            "min_value: -9",
            "min_value: -8",
            [("validate.expect_column_values_to_be_between(wind).min_value", -9, -8)],
        ),
        (
            "{column: distance}",
            "{column: distance, severity: warn}",
            [("validate.expect_column_values_to_not_be_null(distance).severity", "block", "warn")],
        ),
        (
            "/data/{",
            "/other/{",
            [("source.files.path", "/data/{partition}.parquet", "/other/{partition}.parquet")],
        ),
        (
            "[a@example.com, b@example.com]",
            "[a@example.com]",
            [("alerts.email", "b@example.com", None)],
        ),
        (
            "partition: month",
            "partition: month\nschedule: 0 6 1 * *",
            [("schedule", None, "0 6 1 * *")],
        ),
        (
            "gates:",
            "retrain: {when: {every: 2}}\ngates:",
            [
                ("retrain.when.drift", "2 of 3", None),
                ("retrain.when.performance", "2 of 3", None),
                ("retrain.when.every", None, 2),
            ],
        ),
        (
            "sklearn.ensemble.RandomForestClassifier: {n_estimators: 10, search: {max_depth: [2, 4]}}",
            "sklearn.naive_bayes.GaussianNB",
            [
                ("train.candidates.GaussianNB", None, {"estimator": "sklearn.naive_bayes.GaussianNB"}),
                (
                    "train.candidates.RandomForestClassifier",
                    {
                        "estimator": "sklearn.ensemble.RandomForestClassifier",
                        "n_estimators": 10,
                        "search": {"max_depth": [2, 4]},
                    },
                    None,
                ),
            ],
        ),
        ("name: flights", "name: planes", [("name", "flights", "planes")]),
        ("target: late", "target: delayed", [("target", "late", "delayed")]),
        ("task: classification", "task: classification\nclasses: [a, b]", [("classes", [], ["a", "b"])]),
        (
            "task: classification",
            "task: classification\nskew: null",
            [("skew.threshold", 0.5, None), ("skew.severity", "warn", None)],
        ),
    ],
)
def test_what_changes_is_named_by_its_place(
    tmp_path: Path, former: str, present: str, expected: list[tuple[str, Any, Any]]
) -> None:
    assert differences(tmp_path, former, present) == expected


def test_a_suite_is_what_it_holds_and_not_where_it_lies(tmp_path: Path) -> None:
    suite = {
        "name": "flights",
        "expectations": [
            {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "distance"}},
            {"type": "expect_column_values_to_be_between", "kwargs": {"column": "wind", "min_value": -9}},
        ],
    }
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "suite.json").write_text(json.dumps(suite))
    first, rest = SPEC.split("validate:")
    text = f"{first}validate: [{{suite: suite.json}}]\ntrain:{rest.partition('train:')[2]}"
    one, two = load(tmp_path / "one", text), load(tmp_path / "two", text)
    assert meaning.differences(meaning.values(load(tmp_path)), meaning.values(one)) == ()
    suite["expectations"][1]["kwargs"]["min_value"] = -7
    (tmp_path / "two" / "suite.json").write_text(json.dumps(suite))
    (change,) = meaning.differences(meaning.values(one), meaning.values(two))
    assert change.place == "validate.expect_column_values_to_be_between(wind).min_value"


def test_logins_of_addresses_are_not_kept(tmp_path: Path) -> None:
    spec = load(tmp_path, SPEC.replace("/data/{", "https://ann:secret@example.com/{"))
    assert "secret" not in json.dumps(meaning.values(spec))
