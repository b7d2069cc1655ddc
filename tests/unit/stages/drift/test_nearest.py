from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.learning.summaries import build, distance
from airflow_mlops.learning.summaries.summary import Column
from airflow_mlops.stages.drift import nearest

RANDOM = np.random.default_rng(0)


def column(mean: float, missing: int = 0, rows: int = 800) -> Column:
    values = RANDOM.normal(mean, 1.0, rows).tolist() + [None] * missing
    return build.summarise([pa.table({"x": pa.array(values, pa.float64())})], numeric=["x"], categorical=[])[
        "x"
    ]


def test_the_least_distance_counts_with_the_largest_p_value() -> None:
    now, references = column(1.0), {"training": column(0.0), "2013-03": column(0.9), "2013-04": column(3.0)}
    near = nearest.measure("x", references, now, min_rows=100)
    [values] = near.measures
    alone = {
        name: next(distance.measure("x", other, now, min_rows=100)) for name, other in references.items()
    }
    assert values.distance == alone["2013-03"].distance
    assert values.p == max(measure.p or 0.0 for measure in alone.values())
    assert "from 2013-03, the nearest of 3 references" in values.reason
    assert near.column is references["2013-03"]


def test_one_reference_is_measured_as_ever() -> None:
    now, before = column(1.0, missing=50), column(0.0)
    near = nearest.measure("x", {"training": before}, now, min_rows=100)
    assert list(near.measures) == list(distance.measure("x", before, now, min_rows=100))


def test_missing_values_that_one_reference_has_too_are_no_drift() -> None:
    now = column(0.0, missing=200)
    some = nearest.measure("x", {"training": column(0.0), "2013-03": column(5.0, 200)}, now, min_rows=100)
    [missing] = [measure for measure in some.measures if measure.part == "missing"]
    assert missing.distance == pytest.approx(0.0)
    none = nearest.measure(
        "x", {"training": column(0.0, 50), "2013-03": column(5.0)}, column(0.0), min_rows=100
    )
    assert [measure.part for measure in none.measures] == [""]


def test_a_reference_with_too_few_rows_is_left_out() -> None:
    near = nearest.measure(
        "x", {"training": column(0.0), "2013-03": column(1.0, rows=20)}, column(1.0), min_rows=100
    )
    [values] = near.measures
    assert values.distance == pytest.approx(1.0, abs=0.2)
