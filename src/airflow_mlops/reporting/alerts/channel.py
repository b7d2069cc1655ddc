"""A channel: what brings notices to people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from airflow_mlops.domain.checks import Fact

if TYPE_CHECKING:
    from airflow_mlops.reporting.alerts.notice import Notice


class Receipt(Fact):
    """What became of a notice on its way to people.

    :param settled: addresses that have it, or that refused it for good.
    :param later: addresses that refused it for now.
    """

    settled: tuple[str, ...]
    later: tuple[str, ...] = ()


class Channel(Protocol):
    """Brings notices to people, one after the other. Which, when, to whom and how often is decided before."""

    def deliver(self, notice: Notice, to: Sequence[str]) -> Receipt:
        """Bring people a notice, in less than :data:`~airflow_mlops.reporting.alerts.outbox.CLAIM`.

        Whatever it raises, the notice waits for the next alert.

        :param to: their addresses, which are those of mails.
        :raises MailUndelivered: if the channel cannot be used at all, so that the notices after it wait too.
        """
        ...
