from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from airflow_mlops.domain.checks import Outcome, Severity, Verdict
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.spec.model import Expectation
from airflow_mlops.exceptions import TableMissing
from airflow_mlops.stages.validate import profiles, suggest, validate
from airflow_mlops.stages.validate.history import History
from airflow_mlops.stages.validate.validate import ValidationPolicy
from airflow_mlops.stores.tables import tables

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

COUNT = 600
MONTHS = ("2013-01", "2013-02", "2013-03")


def make_rows(month: str, count: int = COUNT, seed: int = 0, **columns: Any) -> pa.Table:
    random = np.random.default_rng([seed, int(month[-2:])])
    start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    gaps = random.random(count) < 0.1
    rows = {
        "id": np.arange(count),
        "line": ["a"] * count,
        "at": [start + timedelta(minutes=i) for i in range(count)],
        "distance": random.gamma(2, 300, count),
        "temperature": np.where(gaps, np.nan, random.normal(-2, 9, count)),
        "passengers": pa.array(random.integers(0, 400, count), mask=gaps),
        "late": random.integers(0, 2, count),
        "gift": pa.array(random.random(count) < 0.5, mask=gaps),
        "carrier": random.choice(["AA", "DL", "null", "5", "é: #"], count),
        "tail": [f"N{i % 200}" for i in range(count)],
        "price": pa.array([Decimal(i % 70) / 10 for i in range(count)], pa.decimal128(9, 2)),
        "cold": np.full(count, -4.5),
        "huge": np.arange(count) + 2**60,
        "infinite": np.where(gaps, np.inf, 1.0),
        "empty": pa.nulls(count, pa.string()),
    }
    return pa.table(rows | columns)


class Orders:
    """Three published months."""

    def __init__(self, folder: Path, *tables_: pa.Table, key: Sequence[str] = ("id", "line")) -> None:
        self.uri = f"file://{folder}/orders/data"
        self.key = key
        months = tables_ or tuple(make_rows(month) for month in MONTHS)
        self.versions = [self.publish(month, rows) for month, rows in zip(MONTHS, months, strict=False)]

    def publish(self, month: str, rows: pa.Table) -> DatasetVersion:
        return tables.publish(
            self.uri, rows, name="orders", grain="month", partition=month, key=self.key, event_time="at",
            source="test", run="test", change=tables.Change.WIDEN,
        )  # fmt: skip

    def suite(self, partitions: int | None = None) -> list[Expectation]:
        found = yaml.safe_load(suggest.suggest(self.uri, partitions))
        return [Expectation.model_validate(each) for each in found["validate"]]

    def failures(self, rows: pa.Table) -> set[tuple[str, str | None, Severity]]:
        """Return what April breaks of the suite, by expectation, column and severity."""
        found = validate.validate(
            rows, ValidationPolicy(expectations=self.suite()), dataset="orders", partition="2013-04",
            history=History(self.uri, "2013-04"),
        ).report  # fmt: skip
        failed = (each for each in found.results if each.outcome is not Outcome.PASS)
        return {(each.expectation, each.column, each.severity) for each in failed}

    def suggested(self) -> dict[tuple[str, Any], dict[str, Any]]:
        """Return arguments and severity of expectations about values, by the end of the name and column."""
        return {
            (each.expectation.partition("values_to_")[2], each.args.get("column")): each.args
            | {"severity": each.severity}
            for each in self.suite()
        }


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    return Orders(tmp_path)


def test_each_partition_that_a_suite_was_learned_from_meets_it(orders: Orders) -> None:
    policy = ValidationPolicy(expectations=orders.suite(), max_quarantined=0.0)
    for version in orders.versions:
        report = validate.version(version, policy, data=orders.uri).report
        assert (report.verdict, report.quarantined) == (Verdict.PASS, 0)
        assert [each for each in report.results if each.outcome is not Outcome.PASS] == []


def test_partitions_that_differ_meet_their_suite_too(tmp_path: Path) -> None:
    odd = [
        make_rows("2013-01", count=40, late=[7] * 40, empty=["x"] * 40),
        make_rows("2013-02", count=900, distance=[None] * 899 + [1e7], cold=[1e-7] * 900),
        make_rows("2013-03", carrier=[None] * COUNT, gift=[True] * COUNT, distance=-np.arange(600.0)),
    ]
    orders = Orders(tmp_path, *odd)
    policy = ValidationPolicy(expectations=orders.suite(), max_quarantined=0.0)
    for version in orders.versions:
        report = validate.version(version, policy, data=orders.uri).report
        assert [each for each in report.results if each.outcome is not Outcome.PASS] == []


def test_gross_breaks_are_caught_each_by_its_expectation(orders: Orders) -> None:
    count = 2000
    broken = make_rows(
        "2013-04", count, seed=1, id=[1] * count, distance=["far"] * count, passengers=[-5] * count,
        temperature=[50.0] * count, late=[2] * count, gift=[None] * count, carrier=["XX"] * count,
        tail=[None] * count,
    )  # fmt: skip
    assert orders.failures(broken) >= {
        ("expect_table_row_count_to_be_near_last_partitions", None, Severity.WARN),
        ("expect_compound_columns_to_be_unique", "id, line", Severity.BLOCK),
        ("expect_column_values_to_be_of_type", "distance", Severity.BLOCK),
        ("expect_column_values_to_be_between", "passengers", Severity.QUARANTINE),
        ("expect_column_mean_to_be_between", "temperature", Severity.WARN),
        ("expect_column_stdev_to_be_between", "temperature", Severity.WARN),
        ("expect_column_values_to_be_in_set", "late", Severity.QUARANTINE),
        ("expect_column_values_to_not_be_null", "gift", Severity.WARN),
        ("expect_column_values_to_be_in_set", "carrier", Severity.WARN),
        ("expect_column_values_to_not_be_null", "tail", Severity.QUARANTINE),
    }


def test_a_usual_month_breaks_nothing(orders: Orders) -> None:
    assert orders.failures(make_rows("2013-04", seed=2)) == set()


def test_bounds_keep_what_numbers_are(orders: Orders) -> None:
    found = orders.suggested()
    passengers, distance = found["be_between", "passengers"], found["be_between", "distance"]
    assert (passengers["min_value"], isinstance(passengers["max_value"], int)) == (0, True)
    assert 399 < passengers["max_value"] <= 800
    assert distance["min_value"] == 0
    assert found["be_between", "cold"]["max_value"] <= 0
    assert ("be_between", "huge") not in found
    assert ("be_between", "infinite") not in found


def test_what_identifies_a_row_is_only_held_to_be_there_and_unique(orders: Orders) -> None:
    found = orders.suggested()
    of_keys = {name for name, column in found if column in orders.key}
    assert of_keys == {"be_of_type", "not_be_null"}
    assert orders.suite()[1].args["column_list"] == ["id", "line"]
    assert found["not_be_null", "id"]["severity"] == Severity.BLOCK


def test_only_few_values_in_enough_rows_are_a_set(orders: Orders) -> None:
    found = orders.suggested()
    assert found["be_in_set", "carrier"]["value_set"] == ["5", "AA", "DL", "null", "é: #"]
    assert found["be_in_set", "late"]["value_set"] == [0, 1]
    assert {column for name, column in found if name == "be_in_set"} == {"carrier", "late"}


def test_comments_tell_what_was_seen(tmp_path: Path) -> None:
    text = suggest.suggest(Orders(tmp_path, key=["id"]).uri)
    assert text.startswith("# Learned from 3 partitions of orders (2013-01 … 2013-03), 1,800 rows.\n")
    assert "  # 600 rows a partition, up to 0% from the 3 before\n" in text
    assert "  # the key, unique in each partition\n  - expect_column_values_to_be_unique: {column: id" in text
    assert "  # seen 0 … 399 in 3 partitions," in text
    assert "  # never missing in 3 partitions, 1,800 values\n" in text
    assert "the last event is at most 30 days, 14:01:00 before the end of its partition" in text


def test_a_column_name_cannot_leave_its_place(tmp_path: Path) -> None:
    name = "a: b}\n# - expect #\t'\""
    orders = Orders(tmp_path, make_rows("2013-01").append_column(name, pa.array(np.arange(COUNT))))
    assert {each.args.get("column") for each in orders.suite()} >= {name, "id"}


def test_only_the_latest_partitions_are_learned_from(orders: Orders) -> None:
    orders.publish("2013-01", make_rows("2013-01", late=[5] * COUNT))
    assert 5 in orders.suggested()["be_in_set", "late"]["value_set"]
    kept = [
        each for each in orders.suite(2) if each.args.get("column") == "late" and "value_set" in each.args
    ]
    assert kept[0].args["value_set"] == [0, 1]


def test_a_published_partition_that_was_corrected_counts_once_as_it_is_now(orders: Orders) -> None:
    orders.publish("2013-02", make_rows("2013-02", distance=[1e9] * COUNT))
    orders.publish("2013-02", make_rows("2013-02"))
    assert orders.suggested()["be_between", "distance"]["max_value"] < 1e6


def test_a_single_partition_is_enough(tmp_path: Path) -> None:
    orders = Orders(tmp_path, make_rows("2013-01"))
    policy = ValidationPolicy(expectations=orders.suite())
    report = validate.version(orders.versions[0], policy, data=orders.uri).report
    assert (report.verdict, report.warned) == (Verdict.PASS, False)


def test_without_data_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(TableMissing, match="nothing to learn from"):
        suggest.suggest(f"file://{tmp_path}/orders/data")


def test_a_profile_does_not_depend_on_batches() -> None:
    rows = make_rows("2013-01")
    whole, parts = profiles.Profile(), profiles.Profile()
    column = rows["temperature"].combine_chunks()
    whole.add(column)
    for start in range(0, COUNT, 7):
        parts.add(column.slice(start, 7))
    values = np.array([each for each in column.to_pylist() if each is not None and each == each])
    for each in (whole, parts):
        assert (each.present, each.low, each.high) == (len(values), values.min(), values.max())
        assert each.mean == pytest.approx(values.mean())
        assert each.deviation == pytest.approx(values.std(ddof=1))


def test_of_a_constant_no_spread_is_suggested(tmp_path: Path) -> None:
    rows = make_rows("2013-01", price=np.full(COUNT, 0.1))
    text = suggest.suggest(Orders(tmp_path, rows).uri)
    assert "column_stdev_to_be_between: {column: distance" in text
    assert "column_stdev_to_be_between: {column: price" not in text


def test_comments_have_room_in_a_terminal(orders: Orders) -> None:
    comments = [line for line in suggest.suggest(orders.uri).splitlines() if line.lstrip().startswith("#")]
    assert max(map(len, comments)) <= 80
