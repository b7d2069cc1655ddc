from __future__ import annotations

import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.classes import BINARY, union
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.learning.models import classes, models, pipeline


def coded(values: Any, names: tuple[str, ...]) -> list[int]:
    _, codes = pipeline.labelled(pa.table({"y": values}), "y", "classification", names)
    return list(codes)


def in_order(values: Any, least: int = 1) -> tuple[str, ...]:
    _, labels = pipeline.labels(pa.table({"y": values}), "y", "classification")
    return classes.in_order(labels, "y", least)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["late", "early", None, "late"], ("early", "late")),
        ([10, 2, 1], ("1", "2", "10")),
        ([10.0, 2.0, float("nan")], ("2", "10")),
        (["10", "2", "1"], ("1", "10", "2")),
        ([True, False], BINARY),
        ([1, 1], BINARY),
        (pa.array(["b", "a"]).dictionary_encode(), ("a", "b")),
        ([decimal.Decimal("3.00"), decimal.Decimal("1.00")], ("1", "3")),
        ([2**60, 2**60 + 1], (str(2**60), str(2**60 + 1))),
    ],
)
def test_classes_come_in_the_order_of_their_values(values: Any, names: tuple[str, ...]) -> None:
    assert in_order(values) == names


def test_a_label_is_known_by_its_text_whatever_its_type() -> None:
    assert coded(["1", "3", "2"], ("1", "2", "3")) == coded([1, 3, 2], ("1", "2", "3")) == [0, 2, 1]
    assert coded([True, False], BINARY) == [1, 0]
    assert coded(["True", "true"], ("True", "true")) == [0, 1]


def test_rows_without_a_label_are_left_out() -> None:
    rows, codes = pipeline.labelled(
        pa.table({"y": ["b", None, "a"], "x": [1, 2, 3]}), "y", "classification", ("a", "b", "c")
    )
    assert (rows["x"].to_pylist(), list(codes)) == ([1, 3], [1, 0])


def test_a_label_that_is_none_of_many_classes_has_a_code_of_its_own() -> None:
    assert coded(["a", "new"], ("a", "b", "c")) == [0, classes.UNSEEN]


def test_a_label_that_is_neither_of_two_classes_is_refused() -> None:
    with pytest.raises(SchemaMismatch, match="must be no or yes; it is also maybe. Name all of its classes"):
        coded(["no", "maybe"], ("no", "yes"))


def test_a_fraction_is_no_class() -> None:
    with pytest.raises(SchemaMismatch, match="it is also 0.5. Write task: regression"):
        in_order([0.0, 0.5, 1.0])


def test_a_hundred_thousand_classes_are_refused() -> None:
    with pytest.raises(SchemaMismatch, match="has 100,000 classes, and at most 1,000"):
        in_order(pa.array([f"id {number}" for number in range(100_000)]))


def test_classes_of_few_rows_are_left_out_while_most_rows_remain() -> None:
    assert in_order(["a"] * 60 + ["b"] * 60 + ["typo"] * 3, 10) == ("a", "b")
    assert in_order(["a"] * 60 + ["b"] * 3, 10) == ("a", "b")
    rare = [f"c{number // 5}" for number in range(100)]
    assert len(in_order(["a"] * 60 + ["b"] * 60 + rare, 10)) == 22


def test_probabilities_are_arranged_by_the_classes_that_are_judged() -> None:
    own = classes.ModelClasses(("a", "b", "c"), (0, 2))
    probabilities = np.array([[0.7, 0.3], [0.1, 0.9]])
    assert classes.arranged(own, probabilities, ("a", "b", "c")).tolist() == [[0.7, 0, 0.3], [0.1, 0, 0.9]]
    assert classes.arranged(own, probabilities, ("c", "d", "a")).tolist() == [[0.3, 0, 0.7], [0.9, 0, 0.1]]
    assert classes.arranged(own, probabilities, ("a", "c")).tolist() == [0.3, 0.9]


def test_the_classes_of_several_models_keep_the_order_of_the_first() -> None:
    assert union(("b", "a"), ("a", "c"), ()) == ("b", "a", "c")


def test_a_model_keeps_its_classes_in_the_file_that_its_digest_covers(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    fitted = Pipeline([("model", LogisticRegression())]).fit(np.array([[0.0], [1.0]]), [0, 1])
    models.save(fitted, tmp_path / "before")
    classes.keep(fitted, BINARY, (0, 1))
    models.save(fitted, tmp_path / "binary")
    classes.keep(fitted, ("no", "maybe", "yes"), (0, 2))
    models.save(fitted, tmp_path / "after")
    digests = [models.digest(tmp_path / name) for name in ("before", "binary", "after")]
    assert digests[0] == digests[1] != digests[2]
    loaded = models.load(tmp_path / "after", digests[2])
    assert classes.of(loaded) == classes.ModelClasses(("no", "maybe", "yes"), (0, 2))
