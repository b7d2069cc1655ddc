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


@pytest.mark.parametrize(
    ("place", "former", "present", "expected"),
    [
        # One feature, and all of them.
        ("{C: 1}", "{max_features: 1}", "{max_features: 1.0}", (1, 1.0)),
        ("{C: 1}", "{bootstrap: true}", "{bootstrap: 1}", (True, 1)),
        # Without a limit, and with that of the estimator.
        ("{C: 1}", "{max_features: null, C: 1}", "{C: 1}", ("null", None)),
        ("{C: 1}", "{max_features: 5}", "{max_features: null}", (5, "null")),
        (
            "{C: 1}",
            "{monotonic_cst: {a: 1, b: -1}}",
            "{monotonic_cst: none}",
            ({"a": 1, "b": -1}, "none"),
        ),
        (
            "{C: 1}",
            "{monotonic_cst: none}",
            "{monotonic_cst: {a: 1, b: -1}}",
            ("none", {"a": 1, "b": -1}),
        ),
    ],
)
def test_what_an_estimator_takes_for_another_parameter_is_another(
    tmp_path: Path, place: str, former: str, present: str, expected: tuple[Any, Any]
) -> None:
    one, two = (load(tmp_path, SPEC.replace(place, text)) for text in (former, present))
    (change,) = meaning.differences(meaning.values(one), meaning.values(two))
    assert (change.before, change.after) == expected
    assert [type(value) for value in expected] == [type(change.before), type(change.after)]


def test_a_number_of_an_expectation_is_the_same_with_a_point_and_another_than_a_truth_value(
    tmp_path: Path,
) -> None:
    assert differences(tmp_path, "min_value: -9", "min_value: -9.0") == []
    rest = "wind, min_value: -9"
    [(_, before, after)] = [
        change
        for change in meaning_of_sets(tmp_path, f"{{column: {rest}}}", "[0, 1]", "[false, true]")
        if change[0].endswith("value_set")
    ]
    assert [type(value) for value in (*before, *after)] == [int, int, bool, bool]


def meaning_of_sets(folder: Path, place: str, *sets: str) -> list[tuple[str, Any, Any]]:
    texts = [
        SPEC.replace(
            f"expect_column_values_to_be_between: {place}",
            f"expect_column_values_to_be_in_set: {{column: wind, value_set: {values}}}",
        )
        for values in sets
    ]
    before, after = (meaning.values(load(folder, text)) for text in texts)
    return [(change.place, change.before, change.after) for change in meaning.differences(before, after)]


def test_two_expectations_of_one_column_are_the_same_in_either_order(tmp_path: Path) -> None:
    [first] = [line for line in SPEC.splitlines() if "min_value: -9" in line]
    second = first.replace("min_value: -9", "max_value: 99, severity: warn")
    one = SPEC.replace(first, f"{first}\n{second}")
    two = SPEC.replace(first, f"{second}\n{first}")
    before, after = meaning.values(load(tmp_path, one)), meaning.values(load(tmp_path, two))
    assert meaning.differences(before, after) == ()
    third = meaning.values(load(tmp_path, two.replace("max_value: 99", "max_value: 98")))
    (change,) = meaning.differences(before, third)
    assert change.place == "validate.expect_column_values_to_be_between(wind).max_value"


def test_specs_of_one_meaning_are_equal_once_they_are_in_order(tmp_path: Path) -> None:
    assert meaning.ordered(load(tmp_path)) == meaning.ordered(load(tmp_path, SHUFFLED))
    assert load(tmp_path) != load(tmp_path, SHUFFLED)


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
