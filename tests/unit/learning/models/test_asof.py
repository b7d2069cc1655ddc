from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_mlops.exceptions import FutureJoin
from airflow_mlops.learning.models.asof import as_of

NOON = datetime(2013, 1, 5, 12, tzinfo=UTC)


def at(*hours: float | None) -> pa.Array:
    times = [None if hour is None else NOON + timedelta(hours=hour) for hour in hours]
    return pa.array(times, pa.timestamp("us", "UTC"))


def flights(*hours: float | None, **columns: Any) -> pa.Table:
    return pa.table({"departure": at(*hours), **columns})


def weather(*hours: float | None, **columns: Any) -> pa.Table:
    return pa.table({"known": at(*hours), "wind": pa.array(range(len(hours)), pa.int64()), **columns})


def join(rows: Any, table: Any, **settings: Any) -> pa.Table:
    return as_of(rows, table, **{"time": "departure", "known_at": "known", **settings})


def test_each_row_gets_what_was_known_last_and_keeps_its_place() -> None:
    found = join(flights(2.5, 0, -1, 2, n=[1, 2, 3, 4]), weather(2, 0, 1))
    assert found.column_names == ["departure", "n", "wind"]
    assert found["n"].to_pylist() == [1, 2, 3, 4]
    assert found["wind"].to_pylist() == [0, 1, None, 0]
    assert found.schema.field("wind").type == pa.int64()  # also with nulls in it


def test_what_is_known_at_the_very_time_counts_and_what_is_a_moment_later_does_not() -> None:
    moment = 1e-6 / 3600
    assert join(flights(0), weather(-1, 0))["wind"].to_pylist() == [1]
    assert join(flights(0), weather(-1, moment))["wind"].to_pylist() == [0]
    later = pa.table({"known": pa.array([1], pa.timestamp("ns", "UTC")), "wind": [7]})
    epoch = pa.table({"departure": pa.array([0], pa.timestamp("us", "UTC"))})
    assert join(epoch, later)["wind"].to_pylist() == [None]


@pytest.mark.parametrize(("hours", "wind"), [(1, 0), (1.0001, None)])
def test_what_is_older_than_the_tolerance_does_not_count(hours: float, wind: int | None) -> None:
    found = join(flights(hours), weather(0), tolerance=timedelta(hours=1))
    assert found["wind"].to_pylist() == [wind]


def test_keys_have_to_be_equal_and_a_missing_one_is_equal_to_none() -> None:
    rows = flights(1, 1, 1, 1, origin=["EWR", "JFK", None, "LGA"], runway=pa.array([1, 2, 1, 1], pa.int8()))
    table = weather(0, 0, 0, 0, origin=["EWR", "JFK", None, "LGA"], runway=[1, 1, 1, 1])
    found = join(rows, table, by=["origin", "runway"])
    assert found["wind"].to_pylist() == [0, None, None, 3]
    assert found["origin"].equals(rows["origin"])


def test_a_key_may_be_encoded_in_one_of_them() -> None:
    encoded = pa.array(["EWR"]).dictionary_encode()
    assert join(flights(1, origin=["EWR"]), weather(0, origin=encoded), by=["origin"])[
        "wind"
    ].to_pylist() == [0]


def test_chosen_columns_are_added_under_a_suffix() -> None:
    rows, table = flights(1, wind=[9]), weather(0, gust=[5], other=["x"])
    found = join(rows, table, columns=["gust", "wind"], suffix="_then")
    assert found.drop_columns("departure").to_pylist() == [{"wind": 9, "gust_then": 5, "wind_then": 0}]


def test_frames_of_pandas_are_taken_whatever_their_index() -> None:
    rows = flights(1, 0, 2).to_pandas().set_index(pd.Index([7, 7, 1]))
    assert join(rows, weather(0, 1).to_pandas())["wind"].to_pylist() == [1, 0, 1]


@pytest.mark.parametrize(("rows", "table", "wind"), [((), (0,), []), ((0,), (), [None]), ((), (), [])])
def test_either_side_may_be_empty(
    rows: tuple[float, ...], table: tuple[float, ...], wind: list[None]
) -> None:
    text = pa.array(["EWR"] * len(rows), pa.string()), pa.array(["EWR"] * len(table), pa.string())
    found = join(flights(*rows, origin=text[0]), weather(*table, origin=text[1]), by=["origin"])
    assert found["wind"].to_pylist() == wind


NAIVE = pa.array([NOON.replace(tzinfo=None)])


@pytest.mark.parametrize(
    ("rows", "table", "settings", "told"),
    [
        (flights(0), weather(0), {"time": "left"}, "the rows must have 'left' once"),
        (flights(0), weather(0), {"known_at": "left"}, "the table must have 'left' once"),
        (flights(0), weather(0), {"columns": ["gust"]}, "the table must have 'gust' once"),
        (flights(0), weather(0), {"by": ["origin"]}, "the rows must have 'origin' once"),
        (flights(0), weather(0), {"by": "origin"}, "must be a list of columns"),
        (flights(0), weather(0, departure=[1]), {}, "the rows have 'departure' already"),
        (flights(0, None), weather(0), {}, "'departure' of the rows is null in 1 row"),
        (flights(0), weather(0, None), {}, "'known' of the table is null in 1 row, .*'wind': 1"),
        (pa.table({"departure": NAIVE}), weather(0), {}, r"'departure' of the rows is timestamp\[us\]"),
        (flights(0), pa.table({"known": NAIVE}), {}, r"'known' of the table is timestamp\[us\]; it must be a time"),
        (pa.table({"departure": ["2013"]}), weather(0), {}, "'departure' of the rows is string"),
        (flights(0), weather(0, 1, 1), {}, "1 times more than one row .*'known': '2013-01-05 13:00"),
        (flights(0, o=["1"]), weather(0, o=[1]), {"by": ["o"]}, "'o' is string in the rows and int64 in the table"),
    ],
)  # fmt: skip
def test_a_join_that_has_no_one_answer_is_refused_with_the_column(
    rows: pa.Table, table: pa.Table, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told) as error:
        join(rows, table, **settings)
    assert not isinstance(error.value, FutureJoin)


def test_a_negative_tolerance_would_look_into_the_future() -> None:
    with pytest.raises(FutureJoin, match="would take what became known after 'departure'"):
        join(flights(0), weather(0), tolerance=timedelta(hours=-1))


def test_what_was_known_before_it_was_observed_is_refused() -> None:
    join(flights(0), weather(0, 1, seen=at(0, 0.5)), observed_at="seen")
    with pytest.raises(FutureJoin, match="1 row .*'known' is 2013-01-05 13:00.*'seen' is 2013-01-05 13:30"):
        join(flights(0), weather(0, 1, seen=at(0, 1.5)), observed_at="seen")


@pytest.mark.parametrize("seed", range(20))
def test_the_answer_is_that_of_a_plain_loop(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = flights(*random.integers(-9, 9, 60).tolist(), origin=random.choice(["EWR", "JFK", None], 60))
    times = pd.DataFrame(
        {"hour": random.integers(-9, 9, 40), "origin": random.choice(["EWR", "LGA", None], 40)}
    )
    times = times.drop_duplicates()
    table = weather(*times["hour"].tolist(), origin=pa.array(times["origin"], pa.string()))
    tolerance = None if seed % 2 else timedelta(hours=int(random.integers(0, 5)))

    def plain(row: dict[str, Any]) -> int | None:
        best = None
        for each in table.to_pylist():
            age = row["departure"] - each["known"]
            fits = each["origin"] == row["origin"] is not None and age >= timedelta(0)
            if (
                fits
                and (tolerance is None or age <= tolerance)
                and (best is None or each["known"] > best["known"])
            ):
                best = each
        return best["wind"] if best else None

    found = join(rows, table, by=["origin"], tolerance=tolerance)
    assert found["wind"].to_pylist() == [plain(row) for row in rows.to_pylist()]
    assert found.select(rows.column_names).equals(rows)
