from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.stores.arrow import exactly

CENTS = pa.decimal128(10, 2)
UTC_TIME = pa.timestamp("us", "UTC")


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None], CENTS, [Decimal("1.00"), None]),
        ([1.0, 1.005], CENTS, [Decimal("1.00"), None]),
        (["1", "1.0", "x", "1.005", ""], CENTS, [Decimal("1.00"), Decimal("1.00"), None, None, None]),
        ([10**18], CENTS, [None]),
        ([Decimal("1.00"), Decimal("2.50")], pa.int64(), [1, None]),
        (["007", "1.00", "A12", "2.5", None], pa.int64(), [7, 1, None, None, None]),
        ([1.0, 1.5], pa.int64(), [1, None]),
        ([5, 2**53 + 1], pa.float64(), [5.0, None]),
        ([7], pa.string(), ["7"]),
        (["2013-01-05", "2013-01-05T02:00:00+02:00", "x"], UTC_TIME, [datetime(2013, 1, 5, tzinfo=UTC)] * 2 + [None]),
        (["true", "x"], pa.bool_(), [True, None]),
        ([None], UTC_TIME, [None]),
        ([], pa.int64(), []),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_is_the_same_in_another_type_or_it_is_none(
    values: list[Any], kind: pa.DataType, expected: list[Any]
) -> None:
    found = exactly(pa.chunked_array([pa.array(values)]), kind)
    assert (found.type, found.to_pylist()) == (kind, expected)


@pytest.mark.parametrize(
    ("value", "kind"), [([1], pa.string()), (5, UTC_TIME), ({"a": 1}, pa.int64())], ids=str
)
def test_a_type_that_is_another_thing_altogether_is_an_error(value: Any, kind: pa.DataType) -> None:
    with pytest.raises(pa.ArrowNotImplementedError):
        exactly(pa.chunked_array([pa.array([value])]), kind)
