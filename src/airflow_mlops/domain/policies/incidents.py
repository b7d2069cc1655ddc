"""Incidents: a problem that lasts for several partitions is one problem, until it is over."""

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
    """A problem of a model, from the partition at which it opened to the one at which it was over.

    :param signal: name of the check that failed, such as ``drift``.
    :param opened: the partition at which the check had failed often enough.
    :param closed: the partition at which the check had passed often enough; None while the incident lasts.
    """

    signal: str
    opened: str
    closed: str | None = None

    @property
    def id(self) -> str:
        """An id that is unique among the incidents of the same model."""
        return f"{self.signal}/{self.opened}"


def of_signal(
    signal: str, verdicts: Iterable[tuple[str, Verdict]], rule: KofN, clear: int = 1
) -> list[Incident]:
    """Return the incidents of one signal, oldest first; only the last can be open.

    An incident opens when at least ``k`` of the last ``n`` verdicts failed, the newest among them, and closes after
    ``clear`` passes in a row. INCONCLUSIVE neither opens nor closes an incident, because it is no evidence that the problem
    is over.

    :param verdicts: pairs of partition and verdict, the oldest first.
    :param rule: how many of the last verdicts must have failed.
    """
    incidents: list[Incident] = []
    recent: list[Verdict] = []
    passes = 0
    for partition, verdict in verdicts:
        recent = [*recent, verdict][-rule.n :]
        if verdict is Verdict.FAIL:
            passes = 0
            if recent.count(Verdict.FAIL) >= rule.k and not lasting(incidents):
                incidents.append(Incident(signal=signal, opened=partition))
        elif verdict is Verdict.PASS:
            passes += 1
            if passes >= clear and (last := lasting(incidents)):
                incidents[-1] = last.model_copy(update={"closed": partition})
    return incidents


def lasting(incidents: Sequence[Incident]) -> Incident | None:
    """Return the open one of the incidents of a signal; None if none is open.

    :param incidents: oldest first, as :func:`of_signal` returns them.
    """
    return incidents[-1] if incidents and incidents[-1].closed is None else None


def of_reports(reports: Sequence[HealthReport]) -> list[Incident]:
    """Return the incidents of drift, performance and staleness, in the order in which they opened.

    A failure opens an incident whatever the retrain policy says, and the next pass closes it.

    :param reports: health reports, the newest first, as :func:`~airflow_mlops.stages.monitor.health.history` returns them.
    """
    incidents: list[Incident] = []
    for signal in ("drift", "performance", "staleness"):
        verdicts = [(report.partition, getattr(report, signal).verdict) for report in reversed(reports)]
        incidents += of_signal(signal, verdicts, _ANY)
    return sorted(incidents, key=lambda incident: (incident.opened, incident.signal))


def failing(reports: Sequence[HealthReport], partition: str | None = None) -> list[str]:
    """Return the partitions at which the newest incident has failed; none if no incident was open at a partition.

    The newest incident is the one that opened last, of those that were open at ``partition``. A mail about any of these
    partitions was a mail about the incident. So people get one mail about it as long as nothing new goes wrong, also if
    another incident ends meanwhile, or an earlier failure is discovered later.

    :param reports: all health reports, also those on later partitions, the newest first.
    :param partition: None means the last partition that has a report.
    :return: oldest first.
    """
    at = partition or max((report.partition for report in reports), default="")
    current = [
        incident for incident in of_reports(reports) if incident.opened <= at and _before_end(at, incident)
    ]
    if not current:
        return []
    newest = max(current, key=lambda incident: incident.opened)
    return [
        report.partition
        for report in reversed(reports)
        if report.partition >= newest.opened
        and _before_end(report.partition, newest)
        and getattr(report, newest.signal).verdict is Verdict.FAIL
    ]


def _before_end(partition: str, incident: Incident) -> bool:
    """Tell whether an incident was not yet over at a partition."""
    return incident.closed is None or partition < incident.closed
