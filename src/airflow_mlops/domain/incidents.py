"""Incidents: a problem that lasts is one problem, from the partition that showed it until it is over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Fact, Verdict

if TYPE_CHECKING:
    from airflow_mlops.domain.fields import KofN


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


def incidents(
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
