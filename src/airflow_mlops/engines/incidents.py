"""Incidents of a champion's health: what people are told of once when it begins, and once when it is over."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_mlops.domain import incidents
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


def newest(reports: Sequence[HealthReport]) -> str | None:
    """Return the partition at which the newest of the lasting incidents opened; None if nothing is wrong.

    It stays the same while nothing new goes wrong, also when one of several is over: so it names the one mail about it.
    """
    return max((each.opened for each in history(reports) if each.closed is None), default=None)
