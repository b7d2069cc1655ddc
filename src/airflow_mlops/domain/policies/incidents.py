"""Incidents: a problem that lasts is one problem, from the partition that showed it until it is over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Fact, Verdict
from airflow_mlops.domain.facts.results import HealthReport
from airflow_mlops.domain.spec.fields import KofN

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.fields import KofN

_ANY = KofN(1, 1)


class Incident(Fact):
    """A problem of a model, from the partition that showed it to the one at which it was over.

    :param signal: name of the check that failed, such as ``drift``.
    :param opened: the partition at which it had failed often enough.
    :param closed: the partition at which it had passed often enough; None while it lasts.
    """

    signal: str
    opened: str
    closed: str | None = None

    @property
    def id(self) -> str:
        """What tells it from every other one of the same model."""
        return f"{self.signal}/{self.opened}"


def of_signal(
    signal: str, verdicts: Iterable[tuple[str, Verdict]], rule: KofN, clear: int = 1
) -> list[Incident]:
    """Return the incidents of one signal, oldest first; only the last can be open.

    One opens when at least ``k`` of the last ``n`` verdicts failed, the newest among them, and closes after ``clear``
    passes in a row. INCONCLUSIVE neither opens nor closes one: what could not be measured is not known to be well.

    :param verdicts: partition and verdict, the oldest first.
    """
    found: list[Incident] = []
    recent: list[Verdict] = []
    passes = 0
    for partition, verdict in verdicts:
        recent = [*recent, verdict][-rule.n :]
        if verdict is Verdict.FAIL:
            passes = 0
            if recent.count(Verdict.FAIL) >= rule.k and not lasting(found):
                found.append(Incident(signal=signal, opened=partition))
        elif verdict is Verdict.PASS:
            passes += 1
            if passes >= clear and (last := lasting(found)):
                found[-1] = last.model_copy(update={"closed": partition})
    return found


def lasting(found: Sequence[Incident]) -> Incident | None:
    """Return the incident that is open, of those of one signal; None if none is."""
    return found[-1] if found and found[-1].closed is None else None


def of_reports(reports: Sequence[HealthReport]) -> list[Incident]:
    """Return the incidents of drift, performance and staleness, in the order in which they opened.

    Each failure opens one, whatever the retrain policy makes of it, and the next pass closes it.

    :param reports: the newest first, as :func:`~airflow_mlops.stages.monitor.health.history` returns them.
    """
    found: list[Incident] = []
    for signal in ("drift", "performance", "staleness"):
        verdicts = [(report.partition, getattr(report, signal).verdict) for report in reversed(reports)]
        found += of_signal(signal, verdicts, _ANY)
    return sorted(found, key=lambda each: (each.opened, each.signal))


def failing(reports: Sequence[HealthReport], partition: str | None = None) -> list[str]:
    """Return the partitions of the incident that opened last of those that last at one; none if nothing is wrong then.

    They are those at which it failed, the oldest first. A mail at any of them has told of it: so there is one mail about
    it while nothing new goes wrong, also when one of several is over, or if an earlier failure is found later.

    :param reports: all of them, the newest first, also those on later partitions.
    :param partition: None means the last.
    """
    at = partition or max((each.partition for each in reports), default="")
    lasting = [each for each in of_reports(reports) if each.opened <= at and _before(at, each)]
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
