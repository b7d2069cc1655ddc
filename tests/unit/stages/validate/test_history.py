from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.domain.checks import Outcome
from airflow_mlops.domain.facts.validation import ExpectationResult
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.model import Expectation
from airflow_mlops.stages.validate.history import PARTITIONS, STATISTICS, History, compare
from airflow_mlops.stores.tables import tables

NAN = math.nan


def publish(folder: Path, key: str, values: Any, name: str = "x") -> None:
    moment = Partition.parse(key, "month").start
    rows = pa.table(
        {
            "id": [f"{key}/{place}" for place in range(len(values))],
            "at": pa.array([moment] * len(values), pa.timestamp("us", "UTC")),
            name: values if isinstance(values, pa.Array) else pa.array(values, pa.float64()),
        }
    )
    tables.publish(
        f"file://{folder}/data", rows, name="flights", grain="month", partition=key, key=["id"],
        event_time="at", source="test", run="test",
    )  # fmt: skip


def judge(folder: Path, about: str, values: Any, key: str = "2013-04", **args: Any) -> ExpectationResult:
    column = {} if about == "table_row_count" else {"column": "x"}
    rule = Expectation(expectation=f"expect_{about}_{PARTITIONS}", args={**column, **args})
    table = pa.table({"x": values if isinstance(values, pa.Array) else pa.array(values, pa.float64())})
    return compare(rule, table, History(f"file://{folder}/data", key))


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Three months: means 2, 4 and 6, with 2, 2 and 4 rows."""
    for key, values in (("2013-01", [1, 3]), ("2013-02", [2, 6]), ("2013-03", [6, 6, 6, 6])):
        publish(tmp_path, key, values)
    return tmp_path


@pytest.mark.parametrize(
    ("about", "values", "tolerance", "outcome"),
    [
        ("column_mean", [4.0], 0, "PASS"),
        ("column_mean", [6.0], 0.5, "PASS"),
        ("column_mean", [6.1], 0.5, "FAIL"),
        ("column_mean", [1.9], 0.5, "FAIL"),
        ("column_mean", [4.0, NAN, None], 0, "PASS"),
        ("column_mean", [math.inf], 10, "FAIL"),
        ("column_mean", [None], 10, "FAIL"),
        ("column_median", [4.0, 4.0, 100.0], 0, "PASS"),
        ("column_stdev", [0.0, 2.0], 0.01, "PASS"),
        ("column_min", [2.0, 9.0], 0, "PASS"),
        ("column_max", [0.0, 6.0], 0, "PASS"),
        ("column_sum", [8.0], 0, "PASS"),
        ("column_unique_value_count", [1.0, 2.0, 2.0], 0, "PASS"),
        ("column_unique_value_count", [1.0], 0.1, "FAIL"),
        ("column_proportion_of_null_values", [1.0, None, NAN], 0.5, "FAIL"),
        ("column_proportion_of_null_values", [1.0, None], 0.5, "PASS"),
        ("table_row_count", [1.0] * 3, 0.5, "PASS"),
        ("table_row_count", [1.0] * 4, 0.5, "FAIL"),
    ],
)  # fmt: skip
def test_a_statistic_is_held_to_the_median_of_the_last_partitions(
    published: Path, about: str, values: list[Any], tolerance: float, outcome: str
) -> None:
    assert judge(published, about, values, tolerance=tolerance).outcome == outcome


def test_the_bound_is_said_in_words(published: Path) -> None:
    result = judge(published, "column_mean", [7.0], tolerance=0.5)
    assert result.expected == "between 2 and 6: 4 ± 0.5 of it, the median of 2013-01 to 2013-03"
    assert (result.observed, result.unexpected) == ("7", None)
    share = judge(published, "column_proportion_of_null_values", [None], tolerance=0.5)
    assert share.expected == "between -0.5 and 0.5: 0 ± 0.5, the median of 2013-01 to 2013-03"


def test_only_partitions_before_this_one_count(published: Path) -> None:
    early = judge(published, "column_mean", [2.0], key="2013-02", tolerance=0)
    assert (early.outcome, early.expected.rpartition(" of ")[2]) == (Outcome.PASS, "2013-01")
    last = judge(published, "column_mean", [6.0], partitions=1, tolerance=0)
    assert (last.outcome, last.expected.rpartition(" of ")[2]) == (Outcome.PASS, "2013-03")


def test_a_partition_that_was_published_again_counts_as_it_is_now(published: Path) -> None:
    publish(published, "2013-03", [9, 9])
    assert judge(published, "column_mean", [9.0], partitions=1, tolerance=0).outcome is Outcome.PASS


@pytest.mark.parametrize("about", list(STATISTICS))
def test_the_first_partition_passes_and_says_why(tmp_path: Path, about: str) -> None:
    result = judge(tmp_path, about, [1.0, 2.0], tolerance=0)
    assert result.outcome is Outcome.PASS
    assert "no earlier partition to compare with" in result.observed


def test_partitions_without_the_column_or_without_a_number_are_left_out(tmp_path: Path) -> None:
    publish(tmp_path, "2013-01", [4.0])
    publish(tmp_path, "2013-02", [None, NAN])
    publish(tmp_path, "2013-03", [math.inf])
    assert judge(tmp_path, "column_mean", [4.0], tolerance=0).outcome is Outcome.PASS
    unknown = tmp_path / "other"
    publish(unknown, "2013-01", [4.0], name="y")
    assert "no earlier partition" in judge(unknown, "column_mean", [4.0], tolerance=0).observed


def test_text_has_no_mean_and_that_is_an_error_and_no_failure(published: Path) -> None:
    result = judge(published, "column_mean", pa.array(["a", "b"]), tolerance=0)
    assert result.outcome is Outcome.ERROR
    assert result.observed.startswith("could not be evaluated: ")


def test_rows_of_no_dataset_cannot_be_compared() -> None:
    rule = Expectation(expectation=f"expect_table_row_count_{PARTITIONS}", args={"tolerance": 1})
    result = compare(rule, pa.table({"x": [1]}), None)
    assert (result.outcome, "needs a dataset" in result.observed) == (Outcome.ERROR, True)


@pytest.mark.parametrize("column", [pa.array([True, False]), pa.array([1, 3]), pa.array(["a", "b"])])
def test_counts_and_nulls_are_known_of_every_type(tmp_path: Path, column: pa.Array) -> None:
    publish(tmp_path, "2013-01", column)
    for about in ("column_unique_value_count", "column_proportion_of_null_values"):
        assert judge(tmp_path, about, column, tolerance=0).outcome is Outcome.PASS
