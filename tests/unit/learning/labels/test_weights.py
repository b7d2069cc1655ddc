"""A column of weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.learning.labels import weights


def rows(values: Any, kind: Any = None) -> pa.Table:
    return pa.table({"id": pa.array(range(len(values))), "value": pa.array(values, kind)})


@pytest.mark.parametrize("kind", [pa.int32(), pa.float32(), pa.float64(), pa.decimal128(30, 2)])
def test_numbers_of_any_type_are_weights(kind: pa.DataType) -> None:
    np.testing.assert_array_equal(weights.of(rows([0, 1, 3], pa.int64()), "value", ["id"]), [0, 1, 3])
    table = rows([0, 1, 3], pa.int64()).set_column(1, "value", pa.array([0, 1, 3]).cast(kind))
    np.testing.assert_array_equal(weights.of(table, "value", ["id"]), [0, 1, 3])


def test_without_a_column_all_rows_count_alike() -> None:
    assert weights.of(rows([1.0]), None, ["id"]) is None


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "null"), (-1.5, "-1.5"), (float("nan"), "nan"), (float("inf"), "inf")]
)
def test_a_weight_that_is_none_is_named_with_its_row(value: float | None, shown: str) -> None:
    with pytest.raises(SchemaMismatch, match=rf"1 of 3 values of 'value' .*: {shown} \(id=1\)\. A weight"):
        weights.of(rows([1.0, value, 2.0]), "value", ["id"])


def test_a_column_that_is_missing_or_a_text_is_named() -> None:
    with pytest.raises(SchemaMismatch, match="no column 'worth'; it has id, value"):
        weights.of(rows([1.0]), "worth", ["id"])
    with pytest.raises(SchemaMismatch, match="column 'value' is string; weights are numbers"):
        weights.of(rows(["1"]), "value", ["id"])


def test_rows_that_all_weigh_nothing_are_refused_where_some_must_count() -> None:
    assert not weights.of(rows([0.0, 0.0]), "value", ["id"]).any()  # type: ignore[union-attr]
    with pytest.raises(SchemaMismatch, match="all 2 values of 'value' are 0"):
        weights.of(rows([0.0, 0.0]), "value", ["id"], some=True)
