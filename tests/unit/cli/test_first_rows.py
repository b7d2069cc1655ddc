from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from airflow.cli.cli_parser import get_parser

from airflow_mlops.cli import first_rows
from airflow_mlops.domain.spec.model import ModelSpec

FLIGHTS = {
    "name": "flights", "task": "classification", "target": "late", "key": ["id"], "event_time": "at", "partition": "month",
    "source": {"files": "/data/{partition}.csv"},
}  # fmt: skip


def make_spec(**values: Any) -> ModelSpec:
    return ModelSpec.from_dict({**FLIGHTS, **values})


def rows(**columns: Any) -> Any:
    import pyarrow as pa

    return pa.table(columns)


@pytest.mark.parametrize(
    ("spec", "labels", "says", "wrong"),
    [
        ({}, ["no", "yes", "no"], ["'late' has 2 classes: no (2), yes (1)"], []),
        ({}, [0.0, 1.0, 1.0], ["'late' has 2 classes: 0 (1), 1 (2)"], []),
        ({}, [True, True, True], ["'late' has 1 class: 1 (3); a training needs rows of two"], []),
        (
            {"classes": ["no", "yes"]},
            ["no", None, ""],
            [
                "2 of 3 rows have no 'late', and train nothing until they have one",
                "'late' has 1 class: no (1); a training needs rows of two",
            ],
            [],
        ),
        (
            {"classes": ["no", "yes"]},
            ["no", "Yes", "Yes"],
            ["'late' has 2 classes: Yes (2), no (1)"],
            ["'late' has 1 class that classes does not name: 'Yes' (2 rows); name them there, or correct the labels"],
        ),
        (
            {"classes": ["no", "yes"], "pii": ["late"]},
            ["no", "SECRET", "no"],
            ["'late' has 2 classes"],
            ["'late' has 1 class that classes does not name; name them there, or correct the labels"],
        ),
        ({"pii": ["late"]}, [0.0, 0.5, 1.0], [], ["'late' cannot be learned as it is"]),
        ({"task": "regression"}, [0.5, None, 2.5], ["1 of 3 rows have no 'late', and train nothing until they have one"], []),
    ],
)  # fmt: skip
def test_labels_are_told_with_their_classes_and_with_those_that_a_spec_does_not_name(
    spec: dict[str, Any], labels: list[Any], says: list[str], wrong: list[str]
) -> None:
    assert first_rows.of_labels(make_spec(**spec), rows(late=labels)) == (says, wrong)


def test_a_label_with_a_fraction_is_told_as_a_training_would() -> None:
    said, (wrong,) = first_rows.of_labels(make_spec(), rows(late=[0.0, 0.5]))
    assert not said
    assert wrong.startswith("Target 'late' must be a class")
    assert "Write task: regression" in wrong


def test_rows_without_the_target_say_nothing_of_labels() -> None:
    assert first_rows.of_labels(make_spec(), rows(x=[1])) == ([], [])


TEXTS = {
    "id": [*range(30)], "at": [0] * 30, "late": [0] * 30, "weight": [1.0] * 30, "distance": [1.5] * 30, "carrier": ["A"] * 30,
    "tail": [f"N{number}" for number in range(30)], "seen": pd.to_datetime(["2026-01-01"] * 30), "tags": [["a"]] * 30,
    "comment": [f"it was late by {number}" for number in range(30)],
}  # fmt: skip
NO_CATEGORY = "has 30 different texts in 30 rows, and is no category;"
UNIQUE = [
    f"'tail' {NO_CATEGORY} it tells rows apart and predicts none: list the features without it",
    f"'comment' {NO_CATEGORY} to learn from its words, list it in features: {{text: [comment]}}",
]


def test_what_columns_are_used_as_is_told_where_features_are_left_out() -> None:
    used, *texts = first_rows.of_features(make_spec(train={"weights": "weight"}), rows(**TEXTS))
    assert used == (
        "features is left out, so columns are used by their types: numbers distance; categories carrier, tail, comment; "
        "times seen; left out id (key), at (event time), late (target), weight (weights), tags (list<item: string>)"
    )
    assert texts == UNIQUE


def test_texts_that_are_no_categories_are_told_where_features_list_them_so() -> None:
    listed = {"categorical": ["carrier", "comment"]}
    assert first_rows.of_features(make_spec(features=listed), rows(**TEXTS)) == UNIQUE[1:]
    assert not first_rows.of_features(make_spec(features={"text": ["comment"]}), rows(**TEXTS))
    assert not first_rows.of_features(make_spec(transform="a:b"), rows(**TEXTS)), "it may make any column"


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_check_names_the_file_and_its_rows(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, data = tmp_path / "flights.yaml", tmp_path / f"2026-01.{suffix}"
    spec.write_text(
        "{name: flights, task: classification, target: late, key: [id], event_time: at, partition: month, "
        f"source: {{files: '{tmp_path}/{{partition}}.{suffix}'}}}}"
    )
    frame = pd.DataFrame(
        {"id": [*range(40_000)], "at": "2026-01-01", "late": [0, 1] * 20_000, "x": "a text of words"}
    )
    {
        "csv": lambda: frame.to_csv(data, index=False),
        "jsonl": lambda: frame.to_json(data, orient="records", lines=True),
        "parquet": lambda: frame.to_parquet(data),
    }[suffix]()
    args = get_parser().parse_args(["mlops", "spec", "check", str(spec), "--data"])
    args.func(args)
    valid, looked, *_ = capsys.readouterr().out.splitlines()
    assert valid == f"{spec}: flights is valid."
    words = looked.removeprefix("source.files: looked at ").split()
    assert words[words.index("of") + 1] == f"{data},"
    count = int(next(word for word in words if word[0].isdigit()).replace(",", ""))
    assert (words[0] == "all") == (count == len(frame)), "the first rows stand for the file"
    assert 10_000 < count <= len(frame)
