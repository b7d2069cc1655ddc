from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.classes import BINARY
from airflow_mlops.learning.labels.coding import Coding
from airflow_mlops.stages.performance.concept_drift import concept
from history import month

START = month("2013-01").start


def stream(*spans: tuple[int, float], task: str = "classification") -> pa.Table:
    """Return rows, one a minute, whose errors have some mean in each span of them."""
    random = np.random.default_rng(0)
    errors = np.concatenate([(random.random(rows) < mean).astype(float) for rows, mean in spans])
    times = pa.array(
        [START + timedelta(minutes=place) for place in range(errors.size)], pa.timestamp("us", "UTC")
    )
    return pa.table({"departure": times, "_matured": times, "_truth": errors * 0, "score": errors})


def coding_of(task: str) -> Coding:
    classes = BINARY if task == "classification" else ()
    return Coding("late", task, classes, classes)


def check(rows: pa.Table | None, since: int = 3000, **changes: Any) -> Check:
    settings: dict[str, Any] = {"coding": coding_of("classification"), "chance": 0.002, "least": 100}
    return concept(
        rows,
        since=START + timedelta(minutes=since),
        event_time="departure",
        matured="_matured",
        **settings | changes,
    )


@pytest.fixture(autouse=True)
def _river() -> None:
    pytest.importorskip("river")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_errors_that_become_larger_are_concept_drift(task: str) -> None:
    found = check(
        stream((3000, 0.1), (3000, 0.4)),
        coding=Coding("y", task, *[BINARY if task == "classification" else ()] * 2),
    )
    assert found.verdict is Verdict.FAIL
    assert found.observed == pytest.approx(0.4, abs=0.05)
    assert found.baseline is not None
    assert found.baseline < 0.2


def test_errors_that_stay_or_become_smaller_are_none() -> None:
    assert check(stream((6000, 0.1))).verdict is Verdict.PASS
    assert check(stream((3000, 0.4), (3000, 0.1))).verdict is Verdict.PASS


def test_a_rise_is_told_once_in_the_partition_that_showed_it() -> None:
    rows = stream((3000, 0.1), (3000, 0.4))
    assert check(rows, since=5000).verdict is Verdict.PASS


def test_the_order_of_rows_does_not_matter() -> None:
    rows = stream((3000, 0.1), (3000, 0.4))
    assert check(rows.take(np.random.default_rng(1).permutation(rows.num_rows))) == check(rows)


@pytest.mark.parametrize("rows", [None, stream((99, 0.1))])
def test_too_few_rows_say_nothing(rows: pa.Table | None) -> None:
    assert check(rows).verdict is Verdict.INCONCLUSIVE
