from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.stores.tables import digests

COLUMNS: dict[str, Any] = {
    "id": [1, 2, None, 4],
    "x": [0.5, None, float("nan"), float("-inf")],
    "text": ["", "short", None, "longer than one word, and longer than two"],
    "huge": ["a" * 1_000_000, "a" * 999_999 + "b", "a", None],
    "day": [date(2013, 1, 1), None, date(2013, 1, 2), date(2013, 1, 3)],
    "at": [datetime(2013, 1, day, tzinfo=UTC) for day in range(1, 5)],
    "late": [True, False, None, True],
    "price": [Decimal("1.50"), None, Decimal("2.00"), Decimal("0.01")],
    "tags": [["a"], [], None, ["a", "b"]],
}


def make_table(**changes: Any) -> pa.Table:
    return pa.table(COLUMNS | changes)


def test_how_rows_are_divided_does_not_matter() -> None:
    table = make_table()
    whole = digests.rows(table)
    assert np.array_equal(whole, np.concatenate([digests.rows(table.slice(each, 1)) for each in range(4)]))
    assert np.array_equal(whole[1:3], digests.rows(table.slice(1, 2).combine_chunks().to_batches()[0]))
    assert digests.of([table]) == digests.of(table.slice(each, 1) for each in range(4))


def test_the_order_of_columns_and_rows_does_not_matter() -> None:
    table = make_table()
    turned = table.select(table.column_names[::-1])
    assert np.array_equal(digests.rows(table), digests.rows(turned))
    assert digests.of([table]) == digests.of([turned.take([3, 1, 0, 2])])


@pytest.mark.parametrize("name", COLUMNS)
def test_each_value_counts(name: str) -> None:
    table = make_table()
    index = table.column_names.index(name)
    for row in range(4):
        values = table[name].to_pylist()
        values[row] = None if values[row] is not None else next(each for each in values if each is not None)
        other = table.set_column(index, name, pa.array(values, table[name].type))
        assert list(digests.rows(other) != digests.rows(table)) == [each == row for each in range(4)]
        assert digests.of([other]) != digests.of([table])


def test_the_same_value_in_another_column_is_another_row() -> None:
    assert digests.rows(pa.table({"a": [1], "b": [2]})) != digests.rows(pa.table({"a": [2], "b": [1]}))


def test_a_column_without_values_changes_nothing() -> None:
    table = make_table()
    for kind in (pa.null(), pa.string(), pa.float64()):
        assert digests.of([table.append_column("new", pa.nulls(4, kind))]) == digests.of([table])


def test_numbers_that_are_equal_have_one_digest_in_their_row_and_types_count_in_the_content() -> None:
    whole, fractions = pa.table({"x": [0, 1, -7]}), pa.table({"x": [-0.0, 1.0, -7.0]})
    assert np.array_equal(digests.rows(whole), digests.rows(fractions))
    assert digests.of([whole]) != digests.of([fractions])
    narrow = pa.table({"x": pa.array([0, 1, -7], pa.int16())})
    assert np.array_equal(digests.rows(whole), digests.rows(narrow))


def test_texts_differ_wherever_they_differ() -> None:
    texts = {
        "x" * before + mark + "x" * after
        for before in range(140)
        for after in (0, 1, 9)
        for mark in ("y", "\0")
    }
    assert len(np.unique(digests.rows(pa.table({"text": sorted(texts)})))) == len(texts)
    kinds = (pa.string(), pa.large_string(), pa.string_view(), pa.binary())
    assert len({digests.rows(pa.table({"t": pa.array(["ab", None], kind)})).tobytes() for kind in kinds}) == 1


def test_a_million_rows_have_a_million_digests() -> None:
    count = 1_000_000
    table = pa.table({"a": np.arange(count) // 1000, "b": np.arange(count) % 1000})
    assert len(np.unique(digests.rows(table))) == count


def test_nothing_has_a_digest_too() -> None:
    assert digests.of([]) == digests.of([make_table().slice(0, 0)])
    assert len(digests.rows(make_table().slice(0, 0))) == 0
