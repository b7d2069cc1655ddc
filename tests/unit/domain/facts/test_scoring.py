from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.scoring import ShadowReport, ShadowWindow
from airflow_mlops.domain.policies import shadow
from airflow_mlops.domain.spec.gates import Gates, Shadow
from airflow_mlops.domain.spec.score import Score
from airflow_mlops.exceptions import SpecError

VERDICTS = {"P": Verdict.PASS, "F": Verdict.FAIL, "?": Verdict.INCONCLUSIVE}


def make_window(partition: str, verdict: Verdict) -> ShadowWindow:
    return shadow.window(
        partition, [Check(name="quality", verdict=verdict, expected="good", reason="so it is")]
    )


def make_report(**facts: Any) -> ShadowReport:
    return ShadowReport(
        **{"version": "2", "digest": "d", "uri": "file:///t", "rows": 100, "divergence": 0.5, **facts}
    )


@pytest.mark.parametrize(
    ("history", "needed", "verdict", "count"),
    [
        ("PP", 2, Verdict.PASS, 2),
        ("PPP", 2, Verdict.PASS, 3),
        ("FPP", 2, Verdict.PASS, 2),
        ("PP?", 2, Verdict.PASS, 2),
        ("P?P", 2, Verdict.PASS, 2),
        ("P", 2, Verdict.INCONCLUSIVE, 1),
        ("?", 1, Verdict.INCONCLUSIVE, 0),
        ("", 1, Verdict.INCONCLUSIVE, 0),
        ("PFP", 2, Verdict.INCONCLUSIVE, 1),
        ("PPF", 2, Verdict.FAIL, 0),
        ("PPF?", 2, Verdict.FAIL, 0),
    ],
)
def test_clean_windows_are_counted_back_from_the_newest_that_was_judged(
    history: str, needed: int, verdict: Verdict, count: int
) -> None:
    windows = [make_window(f"2013-{month:02}", VERDICTS[each]) for month, each in enumerate(history, 1)]
    for order in (windows, windows[::-1]):
        check = shadow.clean_windows(order, needed)
        assert (check.verdict, check.observed) == (verdict, count)


def test_a_window_with_a_failed_check_fails_and_one_without_checks_says_nothing() -> None:
    checks = [check for each in VERDICTS.values() for check in make_window("2013-01", each).checks]
    assert shadow.window("2013-01", checks).verdict is Verdict.FAIL
    assert shadow.window("2013-01", checks[::2]).verdict is Verdict.INCONCLUSIVE
    assert shadow.window("2013-01", []).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("report", "bound", "verdict"),
    [
        ({}, None, Verdict.PASS),
        ({}, 0.5, Verdict.PASS),
        ({}, 0.4, Verdict.FAIL),
        ({"divergence": None}, 0.4, Verdict.INCONCLUSIVE),
        ({"rows": 0}, None, Verdict.INCONCLUSIVE),
    ],
)
def test_a_challenger_must_not_stray_too_far(
    report: dict[str, Any], bound: float | None, verdict: Verdict
) -> None:
    found = make_report(**report)
    checks = [shadow.agreement(found), shadow.divergence(found, Shadow(divergence=bound))]
    assert shadow.window("2013-01", checks).verdict is verdict


def test_a_challenger_that_has_not_predicted_fails() -> None:
    assert shadow.window("2013-01", [shadow.missing("its bytes are others")]).verdict is Verdict.FAIL


def test_how_far_a_challenger_agrees_is_told_also_where_nothing_is_asked() -> None:
    found = make_report(agreement=0.9)
    assert (shadow.agreement(found).observed, shadow.divergence(found, Shadow()).observed) == (0.9, 0.5)
    assert "90.0% of them alike" in shadow.agreement(found).reason


def test_a_gate_is_read_in_its_short_and_its_long_form() -> None:
    assert Gates.from_dict({"shadow": 2}).shadow == Shadow(windows=2)
    gates = Gates.from_dict({"shadow": {"divergence": 0.5}})
    assert gates.shadow == Shadow(windows=3, divergence=0.5)
    assert Gates.from_dict(gates.to_dict()) == gates
    for wrong in (0, True, "3", {"windows": 1.5}):
        with pytest.raises(SpecError, match="shadow"):
            Gates.from_dict({"shadow": wrong})


def test_a_section_is_read_in_its_short_and_its_long_form_and_survives_json() -> None:
    short = Score.from_dict({"shadow": True, "outputs": [{"files": "/data/{partition}.csv"}]})
    assert short.shadow
    assert short.outputs[0].files is not None
    assert Score.from_dict(short.to_dict()) == short
    assert Score.from_dict({"shadow": False}) == Score.from_dict({}) == Score()


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"split": 0.1}, "split: needs shadow: true"),
        ({"shadow": True, "split": 0}, "split"),
        ({"shadow": True, "split": 1.5}, "split"),
        ({"shadow": {"min_rows": 1}}, "shadow"),
        ({"outputs": [{}]}, "takes exactly one of sql, files; none is given"),
        ({"outputs": [{"files": "/data/scores.csv"}]}, "must hold {partition}"),
        ({"outputs": [{"files": "/data/{partition}.xlsx"}]}, "must end in .csv or .parquet"),
        ({"outputs": [{"sql": {"conn_id": "out", "table": "a.b.c"}}]}, "must be a table, or schema.table"),
        ({"outputs": [{"files": "/data/{partition}.csv"}] * 2}, "listed twice"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(section: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as error:
        Score.from_dict(section)
    assert says in str(error.value)


def test_a_report_survives_json_also_where_something_is_undefined() -> None:
    report = make_report(correlation=float("nan"))
    assert report.correlation is None
    assert ShadowReport.from_dict(report.to_dict()) == report
