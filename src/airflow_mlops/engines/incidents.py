"""Incidents of a champion's health: what people are told of once when it begins, and once when it is over."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_mlops.domain import incidents
from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.fields import KofN
from airflow_mlops.domain.incidents import Incident
from airflow_mlops.domain.results import HealthReport

_ANY = KofN(1, 1)


def history(reports: Sequence[HealthReport]) -> list[Incident]:
    """Return the incidents of drift, performance and staleness, in the order in which they opened.

    Each failure opens one, whatever the retrain policy makes of it, and the next pass closes it.

    :param reports: the newest first, as :func:`~airflow_mlops.engines.monitor.history` returns them.
    """
    found: list[Incident] = []
    for signal in ("drift", "performance", "staleness"):
        verdicts = [(report.partition, getattr(report, signal).verdict) for report in reversed(reports)]
        found += incidents.incidents(signal, verdicts, _ANY)
    return sorted(found, key=lambda each: (each.opened, each.signal))


def failing(reports: Sequence[HealthReport], partition: str | None = None) -> list[str]:
    """Return the partitions of the incident that opened last of those that last at one; none if nothing is wrong then.

    They are those at which it failed, the oldest first. A mail at any of them has told of it: so there is one mail about
    it while nothing new goes wrong, also when one of several is over, or if an earlier failure is found later.

    :param reports: all of them, the newest first, also those on later partitions.
    :param partition: None means the last.
    """
    at = partition or max((each.partition for each in reports), default="")
    lasting = [each for each in history(reports) if each.opened <= at and _before(at, each)]
    if not lasting:
        return []
    newest = max(lasting, key=lambda each: each.opened)
    return [
        each.partition
        for each in reversed(reports)
        if each.partition >= newest.opened
        and _before(each.partition, newest)
        and getattr(each, newest.signal).verdict is Verdict.FAIL
    ]


def _before(partition: str, incident: Incident) -> bool:
    """Tell whether an incident was not over at a partition."""
    return incident.closed is None or partition < incident.closed
