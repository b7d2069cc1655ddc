from __future__ import annotations

import pytest

from airflow_mlops.domain.checks import Check, Verdict, overall
from airflow_mlops.domain.facts.results import HealthReport
from airflow_mlops.domain.policies.incidents import failing, of_reports

VERDICTS = {"p": Verdict.PASS, "F": Verdict.FAIL, "?": Verdict.INCONCLUSIVE}


def reports(drift: str, performance: str) -> list[HealthReport]:
    """Return reports on January, February … with these verdicts, the newest first."""

    def check(name: str, letter: str) -> Check:
        return Check(name=name, verdict=VERDICTS[letter], expected="e", reason="r")

    return [
        HealthReport(
            model="flights", partition=f"2013-{number:02}", champion=None,
            verdict=overall((check("drift", one), check("performance", other))),
            drift=check("drift", one), performance=check("performance", other), staleness=check("staleness", "p"),
            reason="r",
        )
        for number, (one, other) in enumerate(zip(drift, performance, strict=True), start=1)
    ][::-1]  # fmt: skip


def test_each_signal_has_incidents_of_its_own() -> None:
    found = of_reports(reports("pFFp", "FF?F"))
    assert [(each.id, each.closed) for each in found] == [
        ("performance/2013-01", None),
        ("drift/2013-02", "2013-04"),
    ]


@pytest.mark.parametrize(
    ("drift", "performance", "expected"),
    [
        ("", "", None),
        ("ppp", "pp?", None),
        ("pFF", "ppp", "2013-02"),
        ("pF?", "ppp", "2013-02"),
        ("pFp", "ppp", None),
        ("FFF", "pFF", "2013-02"),
        ("FFF", "pFp", "2013-01"),
        ("FpF", "ppp", "2013-03"),
    ],
)
def test_the_mail_about_it_is_named_by_what_went_wrong_last(
    drift: str, performance: str, expected: str | None
) -> None:
    assert next(iter(failing(reports(drift, performance))), None) == expected


@pytest.mark.parametrize(
    ("drift", "partition", "expected"),
    [
        ("FF?FpF", "2013-01", ["2013-01", "2013-02", "2013-04"]),
        ("FF?FpF", "2013-03", ["2013-01", "2013-02", "2013-04"]),
        ("FF?FpF", "2013-05", []),
        ("FF?FpF", "2013-06", ["2013-06"]),
        ("ppF", "2013-01", []),
    ],
)
def test_an_incident_has_failed_at_partitions_before_and_after_the_one_that_tells_of_it(
    drift: str, partition: str, expected: list[str]
) -> None:
    assert failing(reports(drift, "p" * len(drift)), partition) == expected
