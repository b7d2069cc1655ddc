from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from airflow_mlops.domain.policies.drift import Measure, judge
from airflow_mlops.domain.spec.monitor import DriftPolicy
from airflow_mlops.learning.summaries import build, distance
from airflow_mlops.learning.summaries.summary import Column

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

ROWS = 60_000


def summarise(values: Any, categorical: bool = False) -> Column:
    names = ((), ("x",)) if categorical else (("x",), ())
    batches = pa.table({"x": values}).to_batches(10_000)
    return build.summarise(batches, numeric=names[0], categorical=names[1])["x"]


def measured(before: Any, now: Any, categorical: bool = False) -> Measure:
    found = distance.measure("x", summarise(before, categorical), summarise(now, categorical), min_rows=1)
    return next(found)


def evidently(before: Any, now: Any, categorical: bool = False) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.legacy.calculations.stattests import jensenshannon_stat_test, wasserstein_stat_test
        from evidently.legacy.core import ColumnType

    test = jensenshannon_stat_test if categorical else wasserstein_stat_test
    kind = ColumnType.Categorical if categorical else ColumnType.Numerical
    return float(test(pd.Series(before), pd.Series(now), kind, 0.1).drift_score)


SHAPES: dict[str, Any] = {
    "normal": lambda random: random.normal(size=ROWS),
    "lognormal": lambda random: random.lognormal(0, 2, ROWS),
    "pareto": lambda random: random.pareto(1.5, ROWS),
    "discrete": lambda random: random.poisson(3, ROWS).astype(float),
    "constant": lambda random: np.ones(ROWS),
    "large": lambda random: 1e9 + random.normal(size=ROWS),
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [0.0, 0.095, 0.105, 1.0])
def test_the_distance_of_summaries_is_what_evidently_finds_in_the_rows(shape: str, size: float) -> None:
    before = SHAPES[shape](np.random.default_rng(1))
    now = SHAPES[shape](np.random.default_rng(2)) + size * before.std()
    expected = evidently(before, now)
    found = measured(before, now).distance
    assert found == pytest.approx(expected, abs=1e-4)


def test_the_distance_of_categories_is_what_evidently_finds_in_the_rows() -> None:
    random = np.random.default_rng(0)
    before, now = (random.choice(["a", "b", "c", "d"], ROWS, p=p) for p in ([0.4, 0.3, 0.2, 0.1], [0.25] * 4))
    assert measured(before, now, True).distance == pytest.approx(evidently(before, now, True), abs=1e-6)


@pytest.mark.parametrize("rows", [300, 5_000])
def test_the_significance_of_numbers_is_that_of_kolmogorov_and_smirnov(rows: int) -> None:
    before, now = (np.random.default_rng(seed).normal(0.05 * seed, 1, rows) for seed in (1, 2))
    expected = stats.ks_2samp(before, now, method="asymp").statistic
    p = stats.kstwobign.sf(expected * (rows / 2) ** 0.5)
    assert measured(before, now).p == pytest.approx(p, rel=1e-6)


def test_binning_makes_no_difference_significant() -> None:
    values = np.random.default_rng(0).normal(size=400_000)
    assert measured(values, values[::-1] + 1e-9).p == 1.0


def test_the_significance_of_categories_is_that_of_pearson() -> None:
    before, now = ["a"] * 60 + ["b"] * 40, ["a"] * 45 + ["b"] * 55
    expected = stats.chi2_contingency([[60, 40], [45, 55]], correction=False).pvalue
    assert measured(before, now, True).p == pytest.approx(expected)


def test_many_rare_categories_are_tested_together() -> None:
    names = [f"c{place}" for place in range(400)]
    found = measured(names[:200] * 2 + ["often"] * 600, names[200:] * 2 + ["often"] * 600, True)
    assert found.p == 1.0


@pytest.mark.parametrize("rows", [100, 1_000])
@pytest.mark.parametrize(
    "shape",
    [
        lambda random, rows: random.normal(size=rows),
        lambda random, rows: random.pareto(1.1, rows),
        lambda random, rows: random.poisson(1, rows).astype(float),
    ],
    ids=["normal", "pareto", "poisson"],
)
def test_chance_is_found_significant_no_more_often_than_said(rows: int, shape: Any) -> None:
    random = np.random.default_rng(0)
    found = [measured(shape(random, rows), shape(random, rows)).p for _ in range(400)]
    alarms = sum(p is not None and p <= 0.05 for p in found)
    # Of 400, 20 are expected at most; 32 have a chance of 0.5 % if that is so.
    assert alarms <= 32


def parts_of(before: Any, now: Any) -> dict[str, Measure]:
    """Return every measure of a column of categories, by part."""
    found = distance.measure("x", summarise(before, True), summarise(now, True), min_rows=100)
    return {measure.part: measure for measure in found}


def names(prefix: str, count: int, times: int = 1) -> list[str]:
    return [f"{prefix}{place}" for place in range(count)] * times


@pytest.mark.parametrize("times", [1, 3])
def test_as_many_categories_as_nobody_lists_that_are_all_new_have_drifted(times: int) -> None:
    found = parts_of(names("a", 200_000, times), names("b", 200_000, times))
    for part in ("", "unseen"):
        assert found[part].distance == pytest.approx({"": 0.83, "unseen": 1.0}[part], abs=0.01)
        assert (found[part].p or 0.0) < 1e-9
    assert found["unseen"].reason.startswith("100.0% of rows have a category that the reference lacks")
    _, checks = judge(list(found.values()), DriftPolicy(), rows=200_000 * times)
    assert [check.verdict for check in checks] == ["FAIL", "FAIL"]


def test_the_same_categories_in_another_order_have_not_drifted_however_many() -> None:
    before = names("a", 200_000, 2)
    found = parts_of(before, before[::-1])
    assert list(found) == [""]
    # Which of equally frequent ones a summary lists depends on their order.
    assert found[""].distance == pytest.approx(0.0, abs=0.02)


def test_the_share_of_new_categories_is_what_the_reference_does_not_let_expect() -> None:
    random = np.random.default_rng(0)
    same = parts_of(random.zipf(1.3, 20_000).astype(str), random.zipf(1.3, 20_000).astype(str))
    assert same["unseen"].distance is not None
    assert same["unseen"].distance < 0.02
    assert "are to be expected" in same["unseen"].reason
    other = parts_of(["a", "b"] * 1_000, ["a", "b", "c", "d", "e"] * 400)
    assert other["unseen"].distance == pytest.approx(0.6)
    assert other["unseen"].reason == (
        "60.0% of rows have a category that the reference lacks, 0.0% are to be expected"
    )
    assert "unseen" not in parts_of(["a", "b"] * 1_000, ["a"] * 2_000)


def test_a_category_that_a_small_reference_has_just_missed_is_as_likely_as_its_rows_say() -> None:
    new = parts_of(["a"] * 100, ["a"] * 90 + ["b"] * 10)["unseen"]
    assert new.distance == pytest.approx(0.1)
    # Of 200 rows the 10 of b are all among the current 100: rare, but not once in 10¹⁹ as by a normal test.
    assert new.p == pytest.approx(math.comb(190, 90) / math.comb(200, 100), rel=0.01)
    large = parts_of(["a"] * 10_000, ["a"] * 90 + ["b"] * 10)["unseen"]
    assert large.distance == pytest.approx(0.1)
    assert (large.p or 0.0) < 1e-15


def test_what_changes_beyond_the_hundred_most_frequent_categories_is_a_distance() -> None:
    random = np.random.default_rng(0)
    whole = random.integers(0, 2_000, 60_000).astype(str)
    half = random.integers(1_000, 2_000, 60_000).astype(str)
    # Half of the rows are of categories twice as frequent, and the other half are gone.
    assert parts_of(whole, half)[""].distance == pytest.approx(0.46, abs=0.03)
    again = random.integers(0, 2_000, 60_000).astype(str)
    assert (parts_of(whole, again)[""].distance or 0.0) < 0.1


def test_ids_are_inconclusive_where_they_are_few_enough_to_be_listed() -> None:
    found = parts_of(names("a", 900), names("b", 900))["unseen"]
    assert found.distance is None
    assert "an id is no feature" in found.reason


def test_a_summary_of_a_former_build_does_not_tell_what_is_new() -> None:
    before = replace(summarise(names("a", 20_000), True), sampled=None)
    *_, found = distance.measure("x", before, summarise(names("a", 20_000), True), min_rows=100)
    assert (found.part, found.distance) == ("unseen", None)
    assert "former build" in found.reason


@pytest.mark.parametrize("shape", [1.2, 1.6, 2.5])
def test_chance_makes_long_tails_drift_no_more_often_than_said(shape: float) -> None:
    random = np.random.default_rng(0)
    found = [
        parts_of(random.zipf(shape, 1_000).astype(str), random.zipf(shape, 1_000).astype(str))
        for _ in range(200)
    ]
    verdicts = [
        judge(list(each.values()), DriftPolicy(threshold=1e-9, unseen=1e-9), rows=1_000)[1] for each in found
    ]
    # Of 200, 10 are expected; 20 have a chance of 0.3 % if that is so.
    assert sum(any(check.verdict == "FAIL" for check in checks) for checks in verdicts) <= 20
