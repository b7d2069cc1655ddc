from __future__ import annotations

import re
import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.spec.model import DriftPolicy
from airflow_mlops.stages.drift import compare
from airflow_mlops.stages.drift.compare import Drift

ROWS = 1000


def normal(rows: int = ROWS, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, rows)


def measure(
    reference: Any, current: Any, *, categorical: bool = False, page: bool = False
) -> tuple[Check, Drift]:
    sides = [side if isinstance(side, pa.Array) else pa.array(side) for side in (reference, current)]
    found = compare.measure(
        *(pa.table({"x": side}) for side in sides),
        numeric=() if categorical else ("x",),
        categorical=("x",) if categorical else (),
        policy=DriftPolicy(columns=0.3, threshold=0.1, min_rows=100),
        title="model 2013-02",
        page=page,
    )
    return found.columns[0], found


def make_tables(drifted: int, steady: int, unreadable: int = 0) -> tuple[pa.Table, pa.Table, list[str]]:
    before: dict[str, Any] = {}
    now: dict[str, Any] = {}
    for kind, count, shift in (("drifted", drifted, 3.0), ("steady", steady, 0.0)):
        for i in range(count):
            before[f"{kind}{i}"], now[f"{kind}{i}"] = (
                normal(),
                normal(shift=shift + i)[::-1] - (i if not shift else 0),
            )
    for i in range(unreadable):
        before[f"unreadable{i}"] = now[f"unreadable{i}"] = ["a"] * ROWS
    return pa.table(before), pa.table(now), list(before)


def overall(drifted: int, steady: int, unreadable: int = 0, columns: float = 0.3) -> Check:
    before, now, names = make_tables(drifted, steady, unreadable)
    policy = DriftPolicy(columns=columns, threshold=0.1, min_rows=100)
    return compare.measure(
        before, now, numeric=names, categorical=(), policy=policy, title="t", page=False
    ).overall


def test_a_shift_is_measured_in_standard_deviations_of_the_reference() -> None:
    check, _ = measure(4 * normal(), 4 * normal() + 2)
    assert check.observed == pytest.approx(0.5 / normal().std(), abs=1e-4)
    assert check.verdict is Verdict.FAIL
    assert (check.name, check.expected, check.n) == ("drift.x", "< 0.1, or p > 0.05", ROWS)


def test_a_drift_of_a_column_of_tiny_numbers_is_seen() -> None:
    assert measure(1e-6 * normal(), 1e-6 * normal(shift=1))[0].observed == pytest.approx(1, abs=0.1)


def test_the_same_values_have_not_drifted() -> None:
    check, _ = measure(normal(), normal()[::-1])
    assert (check.verdict, check.observed) == (Verdict.PASS, 0.0)


def test_categories_are_compared_by_the_jensen_shannon_distance() -> None:
    check, _ = measure(["a", "b"] * 500, ["a"] * 1000, categorical=True)
    # M = (3/4, 1/4): JS = (1/2 ln 2/3 + 1/2 ln 2 + ln 4/3) / 2
    divergence = (0.5 * np.log(2 / 3) + 0.5 * np.log(2) + np.log(4 / 3)) / 2
    assert check.observed == pytest.approx(divergence**0.5, abs=1e-5)


def test_categories_that_were_never_seen_before_are_drift() -> None:
    check, _ = measure(["a"] * 1000, ["b"] * 1000, categorical=True)
    assert check.observed == pytest.approx(np.log(2) ** 0.5, abs=1e-5)


def test_of_many_categories_the_rare_ones_count_as_one_unless_the_reference_lacks_them() -> None:
    common, names = ["often"] * 1000, [f"c{i}" for i in range(1000)]
    assert measure(common + names, common + names[::-1], categorical=True)[0].observed == 0.0
    # The rare half becomes a quarter.
    check, _ = measure(common + names, common + common[:500] + names[:500], categorical=True)
    assert check.verdict is Verdict.FAIL
    others = [f"new{i}" for i in range(1000)]
    assert measure(common + names, common + others, categorical=True)[0].observed == pytest.approx(
        (np.log(2) / 2) ** 0.5, abs=0.05
    )


@pytest.mark.parametrize("value", [0.0, 7.5, -1e9])
def test_a_constant_column_has_not_drifted(value: float) -> None:
    assert measure([value] * ROWS, [value] * ROWS)[0].verdict is Verdict.PASS


def test_a_constant_category_has_not_drifted() -> None:
    assert measure(["a"] * ROWS, ["a"] * ROWS, categorical=True)[0].verdict is Verdict.PASS


@pytest.mark.parametrize(
    "values",
    [
        pa.array([True, False] * 500),
        pa.array([1, 2] * 500, pa.int8()),
        pa.array([Decimal("1.5"), Decimal("2.5")] * 500),
        pa.array(["1", "2"] * 500).cast(pa.int64()).dictionary_encode(),
    ],
    ids=["bool", "int8", "decimal", "dictionary"],
)
@pytest.mark.parametrize("categorical", [True, False])
def test_every_common_type_is_measured(values: pa.Array, categorical: bool) -> None:
    assert measure(values, values, categorical=categorical)[0].verdict is Verdict.PASS


@pytest.mark.parametrize(("reference", "current"), [(99, ROWS), (ROWS, 99), (0, 0)])
def test_few_rows_are_inconclusive_however_far_apart(reference: int, current: int) -> None:
    check, found = measure(normal(reference), normal(current, shift=9))
    assert check.verdict is Verdict.INCONCLUSIVE
    assert found.overall.verdict is Verdict.INCONCLUSIVE
    assert "100 are needed" in check.reason


def test_the_least_number_of_rows_is_enough() -> None:
    assert measure(normal(100), normal(100, shift=9))[0].verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("hole", "name", "words"),
    [(np.nan, "missing", "missing"), (np.inf, "nonfinite", "infinite"), (-np.inf, "nonfinite", "infinite")],
)
def test_values_that_went_missing_are_drift_though_the_rest_is_the_same(
    hole: float, name: str, words: str
) -> None:
    current = normal()
    current[::5] = hole
    value, found = measure(normal(), current)
    gap = found.columns[1]
    assert (value.verdict, gap.verdict, found.overall.verdict) == (Verdict.PASS, Verdict.FAIL, Verdict.FAIL)
    assert (gap.name, gap.observed, gap.n) == (f"drift.x.{name}", pytest.approx(0.2), ROWS)
    assert f"20.0% of values {words}, 0.0% in the reference" in gap.reason


def test_one_infinite_value_is_no_drift() -> None:
    current = normal()
    current[0] = np.inf
    value, found = measure(normal(), current)
    assert [check.verdict for check in found.columns] == [Verdict.PASS, Verdict.PASS]
    assert value.n == ROWS - 1


@pytest.mark.parametrize(("empty", "part"), [(np.nan, "missing"), (np.inf, "nonfinite")])
def test_a_column_that_lost_all_values_has_drifted(empty: float, part: str) -> None:
    value, found = measure(normal(), [empty] * ROWS)
    assert value.verdict is Verdict.INCONCLUSIVE
    assert (found.columns[1].verdict, found.columns[1].observed) == (Verdict.FAIL, 1.0)
    assert found.overall.verdict is Verdict.FAIL


def test_a_column_of_which_four_fifths_are_missing_is_measured_by_the_rest() -> None:
    holes = pa.array([None] * 800 + [1.0, 2.0] * 100)
    moved = pa.array([None] * 800 + [2.0, 3.0] * 100)
    assert [check.verdict for check in measure(holes, holes)[1].columns] == [Verdict.PASS, Verdict.PASS]
    value, _ = measure(holes, moved)
    assert (value.verdict, value.n, value.observed) == (Verdict.FAIL, 200, 2.0)


@pytest.mark.parametrize(
    ("before", "now"),
    [([7.0] * ROWS, [8.0] * ROWS), ([7.0] * ROWS, [7.0, 8.0] * 500), ([7.0, 8.0] * 500, [7.0] * ROWS)],
)
def test_a_column_that_was_or_became_constant_has_drifted(before: list[float], now: list[float]) -> None:
    assert measure(before, now)[0].verdict is Verdict.FAIL


def test_one_enormous_value_is_chance() -> None:
    current = normal()
    current[0] = 1e6
    check, _ = measure(normal(), current)
    assert check.observed is not None
    assert check.observed > 100
    assert check.verdict is Verdict.PASS
    assert "no more than chance explains" in check.reason


def test_a_difference_that_chance_explains_is_no_drift() -> None:
    check, _ = measure(normal(100, seed=1), normal(100, seed=2))
    assert check.observed is not None
    assert check.observed > 0.1
    assert check.verdict is Verdict.PASS


def test_two_hundred_columns_of_the_same_are_judged_as_one_is() -> None:
    names = [f"x{place}" for place in range(200)]
    before, now = (pa.table(dict.fromkeys(names, side)) for side in (normal(), normal(shift=0.3, seed=1)))
    policy = DriftPolicy(min_rows=100)
    found = compare.measure(before, now, numeric=names, categorical=(), policy=policy, title="t", page=False)
    assert {check.verdict for check in found.columns} == {Verdict.FAIL}
    assert (found.overall.observed, found.html, found.picture) == (1.0, "", None)


@pytest.mark.parametrize("names", [["x", "x"], ["y"]], ids=["twice", "missing"])
def test_a_column_that_is_not_there_once_is_inconclusive(names: list[str]) -> None:
    now = pa.table([normal()] * len(names), names=names)
    before = pa.table({"x": normal()})
    policy = DriftPolicy(min_rows=100)
    found = compare.measure(before, now, numeric=("x",), categorical=(), policy=policy, title="t", page=False)
    assert found.columns[0].verdict is Verdict.INCONCLUSIVE
    assert "column" in found.columns[0].reason


def test_a_column_that_the_model_does_not_use_is_passed_over() -> None:
    before = pa.table({"x": normal()})
    now = before.append_column("new", [["a"] * ROWS])
    found = compare.measure(
        before, now, numeric=("x",), categorical=(), policy=DriftPolicy(), title="t", page=False
    )
    assert [check.name for check in found.columns] == ["drift.x"]


@pytest.mark.parametrize("categorical", [True, False])
def test_a_column_that_always_was_all_null_is_inconclusive(categorical: bool) -> None:
    nothing = pa.nulls(ROWS)
    assert measure(nothing, nothing, categorical=categorical)[0].verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array(["1"] * ROWS), "could not be measured: it holds string, not numbers now"),
        (pa.array([[1]] * ROWS), "it holds list<item: int64>, not numbers now"),
        (pa.array([0] * ROWS, pa.date32()), "it holds date32[day], not numbers now"),
    ],
)
def test_a_column_of_another_type_is_inconclusive(column: pa.Array, reason: str) -> None:
    check, _ = measure(normal(), column)
    assert check.verdict is Verdict.INCONCLUSIVE
    assert reason in check.reason


def test_numbers_too_large_to_measure_are_inconclusive() -> None:
    assert measure(3e307 * normal(), 3e307 * normal(seed=1))[0].verdict is Verdict.INCONCLUSIVE


def test_a_number_that_became_a_boolean_has_drifted() -> None:
    assert measure(normal(), pa.array([True, False] * 500))[0].verdict is Verdict.FAIL


def test_an_error_of_evidently_that_is_no_exception_costs_a_drawing_and_no_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from evidently.core.report import ReferenceMetricNotFound, Report

    def fail(*_: Any) -> None:
        raise ReferenceMetricNotFound("x")

    monkeypatch.setattr(Report, "run", fail)
    check, found = measure(normal(), normal(shift=1), page=True)
    assert check.verdict is Verdict.FAIL
    assert "Evidently could not draw this column: ReferenceMetricNotFound" in found.html


def test_a_column_that_cannot_be_measured_hides_nothing_of_the_others() -> None:
    before, now, _ = make_tables(drifted=1, steady=1, unreadable=1)
    policy = DriftPolicy(columns=0.3, threshold=0.1, min_rows=100)
    names = ("unreadable0", "drifted0", "gone", "steady0")
    found = compare.measure(before, now, numeric=names, categorical=(), policy=policy, title="t")
    assert [(check.name, check.verdict) for check in found.columns] == [
        ("drift.unreadable0", Verdict.INCONCLUSIVE),
        ("drift.drifted0", Verdict.FAIL),
        ("drift.gone", Verdict.INCONCLUSIVE),
        ("drift.steady0", Verdict.PASS),
    ]
    assert all(f"drift.{name}" in found.html for name in names)


@pytest.mark.parametrize(
    ("drifted", "steady", "unreadable", "share", "verdict"),
    [
        (1, 2, 0, 1 / 3, Verdict.FAIL),
        (1, 4, 0, 0.2, Verdict.PASS),
        (3, 7, 0, 0.3, Verdict.FAIL),
        (0, 2, 2, 0.0, Verdict.PASS),
        (0, 2, 3, 0.0, Verdict.INCONCLUSIVE),
        (1, 1, 3, 0.5, Verdict.INCONCLUSIVE),
        (2, 0, 3, 1.0, Verdict.FAIL),
        (0, 0, 2, None, Verdict.INCONCLUSIVE),
        (0, 0, 0, None, Verdict.INCONCLUSIVE),
    ],
)
def test_a_table_drifts_with_the_share_of_its_columns(
    drifted: int, steady: int, unreadable: int, share: float | None, verdict: Verdict
) -> None:
    check = overall(drifted, steady, unreadable)
    assert (check.verdict, check.observed) == (verdict, pytest.approx(share))
    assert (check.name, check.expected) == ("drift", "< 0.3 of columns")


def test_the_worst_columns_are_named_with_their_values() -> None:
    reason = overall(drifted=4, steady=1).reason
    assert re.match(
        r"4 of 5 measured columns drifted \(most: drifted3 6\.\d+, drifted2 5\.\d+, drifted1 ", reason
    )


def test_data_never_becomes_a_script_of_the_page() -> None:
    evil = "</script><script>alert(1)</script>"
    table = pa.table({evil: [evil, "<img src=x onerror=alert(1)>", "a & b", "<!--"] * 250})
    found = compare.measure(
        table, table, numeric=(), categorical=(evil,), policy=DriftPolicy(), title=f"title {evil}"
    )
    assert found.columns[0].verdict is Verdict.PASS
    assert evil not in found.html
    assert "<script>alert" not in found.html
    assert "<img src=x" not in found.html
    assert "&lt;img src=x onerror=alert(1)&gt;" in found.html


def test_the_page_shows_title_and_verdicts_and_loads_nothing_from_elsewhere() -> None:
    _, found = measure(normal(), normal(shift=1), page=True)
    assert "model 2013-02" in found.html
    assert "p < 0.0001" in found.columns[0].reason
    assert found.columns[0].reason in found.html
    assert not re.search(r"<(script|link|img|iframe)\b[^>]*\b(src|href)=", found.html)
    assert len(found.html) < 6_000_000


def test_evidently_is_heard_neither_in_warnings_nor_in_output(
    recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    measure(normal(), normal(shift=1), page=True)
    measure(3e307 * normal(), 3e307 * normal(seed=1), page=True)
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


def test_importing_the_engine_loads_no_heavy_library() -> None:
    code = "import sys, airflow_mlops.stages.drift.compare; print({'evidently', 'numpy', 'pandas', 'pyarrow'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
