from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.spec.model import Fairness, Slices
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.learning.statistics import resampling, slices
from airflow_mlops.learning.statistics.slices import Judged
from scores import make_scores, make_times

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
ROWS = 6000


def make_judged(rows: int = ROWS, signal: float = 1.0, days: int = 28, **columns: Any) -> Judged:
    """Judge predictions on rows that belong to two groups at random, unless other columns are given."""
    truth, scores = make_scores(rows, signal)
    groups = np.random.default_rng(1).choice(["a", "b"], rows)
    blocks = resampling.blocks(make_times(rows, days), "auto", "month")
    return Judged(pa.table(columns or {"group": groups}), truth, scores, blocks)


def floors(judged: Judged, **changes: Any) -> dict[str | None, Check]:
    settings: dict[str, Any] = {"by": judged.rows.column_names, "floor": {"roc_auc": 0.6}, **changes}
    return {check.slice: check for check in slices.floors(Slices(**settings), judged)[0]}


def test_a_slice_well_above_its_floor_passes_and_one_shown_to_be_below_fails() -> None:
    judged = make_judged()
    wrong = judged.rows["group"].to_numpy(zero_copy_only=False) == "a"
    judged.predicted[wrong] = np.random.default_rng(2).permutation(judged.predicted[wrong])
    found = floors(judged)
    assert {name: check.verdict for name, check in found.items()} == {"group=a": FAIL, "group=b": PASS}
    low, high = found["group=a"].interval or (0, 0)
    assert low < found["group=a"].observed < high < 0.6  # type: ignore[operator]


def test_of_many_equal_slices_at_their_floor_none_fails_by_chance() -> None:
    # Fifty slices of which each is as good as its floor: half of them measure below it.
    numbers = np.random.default_rng(3).integers(0, 50, 30_000)
    judged = make_judged(30_000, part=numbers)
    whole = resampling.resample(
        [slices.statistic("roc_auc", judged.truth, judged.predicted, judged.blocks)], 28
    )
    floor = {"roc_auc": round(float(whole.values[0]), 4)}
    found = floors(judged, floor=floor, min_rows=300)
    strict = floors(judged, floor=floor, min_rows=300, confidence=None)
    assert len(found) == 50
    assert {check.verdict for check in found.values()} == {PASS}
    assert sum("may be chance" in check.reason for check in found.values()) > 10
    assert sum(check.verdict is FAIL for check in strict.values()) > 10


def test_a_floor_of_a_loss_is_the_greatest_value() -> None:
    assert {check.verdict for check in floors(make_judged(), floor={"log_loss": 0.1}).values()} == {FAIL}
    assert {check.verdict for check in floors(make_judged(), floor={"log_loss": 5.0}).values()} == {PASS}


def test_a_slice_that_lies_in_a_few_days_below_its_floor_cannot_be_told_from_chance() -> None:
    assert {check.verdict for check in floors(make_judged(days=3), floor={"roc_auc": 0.99}).values()} == {
        INCONCLUSIVE
    }


def test_a_slice_of_one_class_has_no_curve() -> None:
    judged = make_judged()
    judged.truth[judged.rows["group"].to_numpy(zero_copy_only=False) == "a"] = 0
    assert floors(judged)["group=a"].verdict is INCONCLUSIVE


def test_rows_without_a_value_are_a_slice_of_their_own() -> None:
    columns = {"group": pa.array([None if place % 3 else "a" for place in range(ROWS)])}
    assert set(floors(make_judged(**columns))) == {"group=a", "group=missing"}


def test_small_slices_are_told_without_listing_thousands() -> None:
    judged = make_judged(key=np.arange(ROWS))
    checks, small = slices.floors(Slices(by=("key",), floor={"roc_auc": 0.6}), judged)
    assert [(check.name, check.slice, check.verdict) for check in checks] == [("slices", "key", INCONCLUSIVE)]
    assert small.startswith("key=0 (1), ")
    assert small.endswith(" and 5,995 more")


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(SchemaMismatch, match="gates.fairness: the data has no column 'sex'"):
        slices.gaps(Fairness(by=("sex",), gaps={"accuracy": 0.1}), make_judged())


def gaps(judged: Judged, bound: float = 0.1, **changes: Any) -> dict[str, Check]:
    settings: dict[str, Any] = {"by": judged.rows.column_names, "gaps": {"selection_rate": bound}, **changes}
    return {check.name: check for check in slices.gaps(Fairness(**settings), judged)[0]}


def test_groups_that_are_treated_alike_pass() -> None:
    check = gaps(make_judged())["fairness.selection_rate"]
    assert check.verdict is PASS
    assert check.n == ROWS
    assert 0 <= (check.observed or 0) < 0.05


def test_a_group_that_is_selected_more_often_fails_and_both_are_named() -> None:
    judged = make_judged()
    judged.predicted[judged.rows["group"].to_numpy(zero_copy_only=False) == "b"] += 0.3
    check = gaps(judged)["fairness.selection_rate"]
    assert check.verdict is FAIL
    assert (check.interval or (0,))[0] > 0.1
    assert " for b and " in check.reason
    assert " for a: " in check.reason


def test_a_gap_that_may_be_chance_passes_and_says_so() -> None:
    judged = make_judged(rows=1200)
    found = gaps(judged, bound=1e-9, min_rows=100)["fairness.selection_rate"]
    assert found.verdict is PASS
    assert "may be chance" in found.reason


def test_of_many_equal_groups_no_two_are_apart_by_chance() -> None:
    groups = np.random.default_rng(4).integers(0, 20, 20_000)
    check = gaps(make_judged(20_000, group=groups), bound=0.01, min_rows=500)["fairness.selection_rate"]
    assert check.observed is not None
    assert check.observed > 0.01
    assert check.verdict is PASS


def test_one_group_has_nobody_to_be_compared_with() -> None:
    check = gaps(make_judged(), min_rows=ROWS // 2 + 500)["fairness"]
    assert (check.verdict, check.slice) == (INCONCLUSIVE, "group")


def test_groups_that_are_too_small_to_be_judged_are_told() -> None:
    groups = np.repeat(["a", "b", "c"], [3000, 2700, 300])
    checks, small = slices.gaps(Fairness(by=("group",), gaps={"accuracy": 0.5}), make_judged(group=groups))
    assert ([check.verdict for check in checks], small) == ([PASS], "group=c (300)")


def test_a_gap_that_may_be_chance_does_not_hide_one_of_which_nothing_can_be_told() -> None:
    # b, of all days, is further from a than c is, whose rows come from three days.
    judged = make_judged(group=np.repeat(["a", "b", "c"], 2000))
    days = np.r_[np.arange(4000) % 28, np.arange(2000) % 3]
    selected = np.zeros(ROWS, bool)
    selected[:2000:2] = True
    selected[2000:4000] = days[2000:4000] < 22
    selected[4000:5400] = True
    judged = replace(
        judged, predicted=np.where(selected, 0.9, 0.1), blocks=resampling.Blocks(days, 28, "day")
    )
    check = gaps(judged, bound=0.15)["fairness.selection_rate"]
    assert check.verdict is INCONCLUSIVE
    assert " for c and " in check.reason
    only = replace(judged, rows=judged.rows.slice(0, 4000), truth=judged.truth[:4000])
    alone = replace(only, predicted=only.predicted[:4000], blocks=resampling.Blocks(days[:4000], 28, "day"))
    assert gaps(alone, bound=0.15)["fairness.selection_rate"].verdict is PASS


def test_a_rate_that_is_undefined_for_all_but_one_group_is_inconclusive() -> None:
    judged = make_judged()
    judged.truth[judged.rows["group"].to_numpy(zero_copy_only=False) == "a"] = 0
    found = gaps(judged, gaps={"true_positive_rate": 0.1, "false_positive_rate": 0.9})
    assert found["fairness.true_positive_rate"].verdict is INCONCLUSIVE
    assert found["fairness.false_positive_rate"].verdict is PASS


def test_spans_with_too_few_rows_or_one_class_are_left_out() -> None:
    judged = make_judged(rows=2800)
    judged.truth[judged.blocks.codes == 3] = 0
    found = slices.spans(judged, "roc_auc", judged.blocks, 100)
    assert len(found) == 27
    assert set(judged.blocks.names) - set(found) == {"2013-03-04"}
    assert slices.spans(judged, "roc_auc", judged.blocks, 101) == {}
