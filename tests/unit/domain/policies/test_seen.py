from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import HealthReport, ModelRef
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.policies.seen import MOST, fine
from notices import make_health

CHAMPION = ModelRef(model="flights", version="3", digest="d", run_id="r")
FORMER = CHAMPION.model_copy(update={"version": "2"})


def report(month: str, verdict: Verdict, champion: ModelRef = CHAMPION) -> HealthReport:
    performance = Check(name="performance", verdict=verdict, expected="e", reason="r")
    return make_health(partition=month, performance=performance, champion=champion)


REPORTS = [
    report("2013-01", Verdict.PASS, FORMER),
    report("2013-02", Verdict.PASS),
    report("2013-03", Verdict.FAIL),
    report("2013-04", Verdict.PASS),
    report("2013-05", Verdict.INCONCLUSIVE),
    report("2013-06", Verdict.PASS),
]


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        (timedelta(0), ("2013-06", "2013-04", "2013-02")),
        # Labels of a month are judged in the next one and the one after.
        (timedelta(days=40), ()),
        # Those of the last day in the next month.
        (timedelta(days=1), ()),
    ],
)
def test_fine_is_where_all_labels_have_shown_that_the_champion_does_well(
    delay: timedelta, expected: tuple[str, ...]
) -> None:
    assert fine(REPORTS, CHAMPION, Partition.parse("2013-07", "month"), delay) == expected


def test_labels_that_come_late_are_looked_for_later() -> None:
    reports = [report("2013-06", Verdict.PASS), report("2013-05", Verdict.PASS)]
    july = Partition.parse("2013-07", "month")
    assert fine(reports, CHAMPION, july, timedelta(days=40)) == ("2013-04",)


def test_a_partition_that_is_looked_at_again_has_seen_the_same() -> None:
    reports = [report(f"2013-{month:02}", Verdict.PASS) for month in range(1, 7)]
    june, delay = Partition.parse("2013-06", "month"), timedelta(days=20)
    first = fine(reports[:-1], CHAMPION, june, delay)
    assert first == fine(reports, CHAMPION, june, delay)
    assert first[0] == "2013-04"


def test_no_more_than_a_year_of_months_is_looked_back() -> None:
    months = Partition.parse("2010-01", "month").through(Partition.parse("2013-06", "month"))
    reports = [report(month.key, Verdict.PASS) for month in months]
    seen = fine(reports, CHAMPION, Partition.parse("2013-07", "month"), timedelta(days=75))
    assert (len(seen), seen[0]) == (MOST, "2013-03")
