from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_mlops.stores.outputs import probabilities


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("early", "probability_early"),
        ("on time", "probability_on_20_time"),
        ("A", "probability__41_"),
        ("1", "probability_1"),
        ("on_20_time", "probability_on_5f_20_5f_time"),
        ("Zürich", "probability__5a__fc_rich"),
    ],
)
def test_a_class_has_a_column_of_plain_letters(name: str, column: str) -> None:
    assert probabilities.column_name(name) == column


def test_long_names_that_begin_alike_have_columns_of_their_own() -> None:
    columns = {probabilities.column_name("x" * 100 + end) for end in "ab"}
    assert len(columns) == 2
    assert all(len(column) <= 60 for column in columns)


def test_lists_become_columns_in_the_order_of_each_version() -> None:
    batch = pa.record_batch(
        {
            "flight": [1, 2, 3],
            "probabilities": pa.array([[0.2, 0.3, 0.5], [0.6, 0.4], None], pa.list_(pa.float64())),
            "model_version": ["1", "2", "9"],
        }
    )
    classes = {"1": ("a", "b", "c"), "2": ("c", "a")}
    flat = pa.Table.from_batches(probabilities.as_columns(iter([batch]), batch.schema, classes))
    assert flat.schema == probabilities.columns_of(batch.schema, classes)
    assert flat.to_pydict() == {
        "flight": [1, 2, 3],
        "model_version": ["1", "2", "9"],
        "probability_a": [0.2, 0.4, None],
        "probability_b": [0.3, None, None],
        "probability_c": [0.5, 0.6, None],
    }


def test_predictions_without_lists_stay_as_they_are() -> None:
    batch = pa.record_batch({"flight": [1], "score": [0.5], "model_version": ["1"]})
    assert probabilities.columns_of(batch.schema, {}) == batch.schema
    assert [*probabilities.as_columns(iter([batch]), batch.schema, {})] == [batch]
