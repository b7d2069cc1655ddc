from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.metrics import Task
from airflow_mlops.stages.init import guesses, look, roles
from airflow_mlops.stages.init.look import Look

ROWS = 3_000
START = datetime(2024, 1, 1, tzinfo=UTC)


def make(**columns: Any) -> Look:
    random = np.random.default_rng(0)
    rows = {
        "customer_id": [f"C{row}" for row in range(ROWS)],
        "at": [START + timedelta(hours=2 * row) for row in range(ROWS)],
        "amount": random.gamma(2, 100, ROWS),
        "plan": random.choice(["basic", "plus"], ROWS),
        "churned": random.choice(["no", "yes"], ROWS, p=[0.8, 0.2]),
    }
    table = pa.table({name: values for name, values in (rows | columns).items() if values is not None})
    return look.look(table.to_batches(max_chunksize=700), "rows")


def uses(table: Look, target: str = "churned", key: tuple[str, ...] = ("customer_id",)) -> dict[str, str]:
    task = guesses.task_of(table.columns[target])
    assert task is not None
    return {role.column: role.use or role.reason for role in roles.of(table, target, key, "at", task).roles}


def test_the_usual_is_guessed() -> None:
    table = make()
    assert guesses.target(table) == ("churned", "two values, and its name")
    assert guesses.time(table) == ("at", "the only column of times, 2024-01-01 to 2024-09-06")
    assert next(guesses.keys(table, "churned", "at")) == (("customer_id",), "unique, and its name")
    assert guesses.grain(table.columns["at"]) == ("month", "9 partitions of about 372 rows")
    assert uses(table) == {
        "customer_id": "key",
        "at": "time",
        "amount": "numeric",
        "plan": "categorical",
        "churned": "target",
    }


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b", "c"] * 1000, Task.CLASSIFICATION),
        ([True, False, None] * 1000, Task.CLASSIFICATION),
        ([0, 1, 2] * 1000, Task.CLASSIFICATION),
        ([0.0, 1.0, None] * 1000, Task.CLASSIFICATION),
        (list(range(ROWS)), Task.REGRESSION),
        ([0.25, 0.5, 1.0] * 1000, Task.REGRESSION),
        ([f"t{row}" for row in range(ROWS)], None),
        ([1] * ROWS, None),
        ([START] * ROWS, None),
    ],
)
def test_the_task_follows_from_the_target(values: list[Any], task: Task | None) -> None:
    assert guesses.task_of(make(churned=values).columns["churned"]) is task


def test_without_a_name_the_last_column_that_can_be_is_the_target() -> None:
    table = make(churned=None, state=["x", "y", "z"] * 1000, note=[f"n {row}" for row in range(ROWS)])
    assert guesses.target(table) == ("state", "three values, last that is no time or text")


@pytest.mark.parametrize(
    ("step", "grain"),
    [
        (timedelta(seconds=30), "hour"),
        (timedelta(minutes=5), "day"),
        (timedelta(minutes=30), "week"),
        (timedelta(hours=6), "month"),
    ],
)
def test_a_partition_is_as_long_as_leaves_enough_of_them(step: timedelta, grain: str) -> None:
    table = make(at=[START + step * row for row in range(ROWS)])
    assert guesses.grain(table.columns["at"]).value == grain
    assert len(guesses.partitions(table.columns["at"], guesses.Grain(grain))) >= 6


def test_a_time_must_be_there_in_each_row_and_be_one_of_events() -> None:
    some = [None if row == 5 else START + timedelta(days=row) for row in range(ROWS)]
    old = [datetime(1900, 1, 1, tzinfo=UTC) + timedelta(days=row) for row in range(ROWS)]
    assert guesses.times(make(at=some)) == []
    assert guesses.times(make(at=old)) == []
    assert guesses.times(make(at=[START] * ROWS)) == []
    assert guesses.times(make(at=None, birth_date=old)) == []
    texts = [f"{START + timedelta(hours=row):%Y-%m-%dT%H:%M:%SZ}" for row in range(ROWS)]
    assert guesses.times(make(at=texts)) == ["at"]
    assert guesses.times(make(at=[*texts[:-1], "later"])) == []


def test_several_columns_make_a_key_and_measures_none() -> None:
    shop = [f"S{row % 60}" for row in range(ROWS)]
    at = [START + timedelta(hours=row // 60) for row in range(ROWS)]
    table = make(customer_id=None, shop_no=shop, at=at)
    assert next(guesses.keys(table, "churned", "at")).columns == ("at", "shop_no")
    assert list(guesses.keys(make(customer_id=None, at=None), "churned", None)) == []


def test_what_is_no_feature_is_left_out_with_the_reason() -> None:
    random = np.random.default_rng(1)
    table = make()
    churned = table.sample["churned"].to_pylist()
    left = uses(
        make(
            churned=churned,
            churn_code=[1 if value == "yes" else 0 for value in churned],
            closed_at=[
                START + timedelta(days=row % 40) if churned[row] == "yes" else None for row in range(ROWS)
            ],
            country=["DE"] * ROWS,
            email=[f"a{row}@example.org" for row in range(ROWS)],
            contact=[f"b{row}@example.org" for row in range(ROWS)],
            empty=pa.nulls(ROWS, pa.string()),
            order_id=np.arange(ROWS) * 7,
            shop_id=np.arange(ROWS) % 9,
            token=[f"{row:x}" for row in range(ROWS)],
            tags=[["a"]] * ROWS,
            comment=[" ".join(random.choice(["good", "bad", "dear", "late"], 8)) for _ in range(ROWS)],
        )
    )
    assert left["churn_code"] == left["closed_at"] == "tells churned alone (ROC AUC 1.000): a copy?"
    assert left["country"] == "always the same"
    assert left["email"] == left["contact"] == "looks like personal data"
    assert left["empty"] == "has no value"
    assert left["order_id"] == "identifies something"
    assert left["shop_id"] == "categorical"
    assert left["token"] == "different in nearly every row"
    assert left["tags"] == "no number, text or time"
    assert left["comment"] == "text"


def test_a_copy_of_a_number_is_left_out() -> None:
    amount = np.random.default_rng(2).gamma(2, 100, ROWS)
    left = uses(make(amount=amount, with_tax=1.19 * amount), target="amount")
    assert left["with_tax"] == "tells amount alone (R2 1.000): a copy?"


def test_a_feature_that_tells_one_class_of_three_is_kept() -> None:
    kind = np.arange(ROWS) % 3
    noise = np.random.default_rng(3).normal(0, 1, ROWS)
    table = make(churned=[f"k{code}" for code in kind], width=np.where(kind == 0, -50.0, kind) + noise)
    ((telling, score),) = roles.of(
        table, "churned", ("customer_id",), "at", Task.CLASSIFICATION
    ).telling.items()
    assert (telling, round(score, 2)) == ("width", 1.0)
    assert uses(table)["width"] == "numeric"


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["no", "yes"], ("no", "yes")),
        (["yes", "no"], ("no", "yes")),
        (["b", "a", "a"], ("a", "b")),
        (["a", "b", "b"], ("b", "a")),
        (["z", "x", "y"], ("x", "y", "z")),
    ],
)
def test_texts_are_named_as_classes_the_positive_one_last(
    values: list[str], classes: tuple[str, ...]
) -> None:
    labels = (values * ROWS)[:ROWS]
    assert roles.classes(make(churned=labels), "churned") == classes
    assert roles.classes(make(churned=[0, 1] * (ROWS // 2)), "churned") == ()


def test_labels_that_lack_at_the_end_come_late() -> None:
    labels = [None if row > ROWS - 100 else "yes" if row % 3 else "no" for row in range(ROWS)]
    column = make(churned=labels).columns["churned"]
    until = START + timedelta(days=100)
    assert guesses.delay(column, until - timedelta(days=6, hours=3), until).value == "P7D"
    assert guesses.delay(make().columns["churned"], until, until).value == "P0D"


def test_a_look_samples_many_rows_evenly() -> None:
    count = 3 * look.SAMPLE
    table = pa.table({"row": np.arange(count)})
    rows = look.look(table.to_batches(max_chunksize=7_001), "rows")
    sample = rows.sample["row"].to_numpy()
    assert (rows.rows, rows.columns["row"].profile.high) == (count, count - 1)
    assert look.SAMPLE <= sample.size <= 2 * look.SAMPLE
    assert set(np.diff(sample)) == {2}
