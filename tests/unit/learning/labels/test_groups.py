"""Groups of rows, and which of them are new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.facts.results import Split
from airflow_mlops.exceptions import NotEnoughData, SchemaMismatch
from airflow_mlops.learning.labels import groups

START = datetime(2024, 1, 1, tzinfo=UTC)


def rows(values: Any, first_day: int = 0, kind: Any = None) -> pa.Table:
    times = [START + timedelta(days=first_day, minutes=place) for place in range(len(values))]
    return pa.table({"time": pa.array(times, pa.timestamp("us", "UTC")), "who": pa.array(values, kind)})


def split_at(day: int) -> Split:
    cut = START + timedelta(days=day)
    return Split(start=START, cut=cut, end=cut + timedelta(days=9), train_rows=50, holdout_rows=50)


def test_rows_without_a_value_are_groups_of_their_own() -> None:
    codes = groups.codes_of(rows(["a", None, "b", "a", None]), "who")
    assert codes is not None
    assert codes[0] == codes[3]
    assert len(set(codes.tolist())) == 4
    numbers = groups.codes_of(rows([1.0, float("nan"), float("nan"), 1.0]), "who")
    assert numbers is not None
    assert len(set(numbers.tolist())) == 3


def test_only_rows_of_groups_that_came_before_the_cut_are_left_out() -> None:
    seen = pa.concat_tables([rows(["a", "b", None]), rows(["c"], first_day=5)])
    holdout = rows([*["a", "c", None] * 60], first_day=5)
    left = groups.of_new_groups(holdout, seen, "who", "time", split_at(4))
    assert left["who"].to_pylist() == ["c", None] * 60
    assert groups.of_new_groups(holdout, seen, None, "time", split_at(4)) is holdout


def test_a_holdout_of_known_groups_is_refused_with_what_can_be_done() -> None:
    with pytest.raises(
        NotEnoughData, match=r"0 of 80 labelled rows .* who that no earlier row.*train\.holdout"
    ):
        groups.of_new_groups(rows(["a"] * 80, 5), rows(["a"]), "who", "time", split_at(4))


def test_numbers_of_another_width_are_the_same_group() -> None:
    assert groups.is_new(rows([1, 2], kind=pa.int64()), rows([2], kind=pa.int32()), "who").tolist() == [
        True,
        False,
    ]


def test_a_column_that_cannot_group_is_named() -> None:
    with pytest.raises(SchemaMismatch, match="no column 'whom'; it has time, who"):
        groups.codes_of(rows(["a"]), "whom")
    with pytest.raises(SchemaMismatch, match="a group is known by a text or a number"):
        groups.codes_of(rows([[1]]), "who")


def test_blocks_are_the_groups() -> None:
    blocks = groups.blocks(np.array([7, 3, 7, 9]))
    assert (blocks.count, blocks.unit) == (3, "group")
    assert blocks.codes.tolist() == [1, 0, 1, 2]
