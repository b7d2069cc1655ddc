"""Post the news of a run: into the model's outbox by its alert policy, and from there to people by a channel."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_mlops.domain.spec.alerts import Alerts, Event, Level
from airflow_mlops.reporting.alerts import outbox, outcome
from airflow_mlops.reporting.alerts.entries import State
from airflow_mlops.reporting.alerts.notice import Notice, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_mlops.reporting.alerts.channel import Channel
    from airflow_mlops.reporting.alerts.judge import News
    from airflow_mlops.reporting.alerts.outcome import Run

log = logging.getLogger(__name__)


def post(uri: str | None, run: Run, news: News, policy: Alerts, channel: Channel) -> str:
    """Write news into the outbox, deliver what waits there, and return in words what was done; empty if nothing was.

    :param uri: the outbox; None, if there can be none, delivers the news without it.
    :param policy: who is told of what.
    :raises MailUndelivered: if something could not be delivered, after trying the rest.
    """
    notices = [
        notice for notice in news.notices if _is_wanted(policy, notice) and _has_address(policy, notice)
    ]
    if uri is None:
        return "; ".join(_delivered(notices, policy, channel))
    try:
        lines = [_put(uri, policy, notice) for notice in notices]
        lines += [_recover(uri, run, topic) for topic in news.well]
    except Exception:
        # The storage itself may have failed. A mail that may come twice is better than none.
        log.exception("%s cannot be written: mailing without it", uri)
        lines = _delivered(notices, policy, channel)
    else:
        outbox.deliver(uri, channel.deliver, policy.recipients, digest=policy.digest)
    return "; ".join(line for line in lines if line)


def _delivered(notices: Sequence[Notice], policy: Alerts, channel: Channel) -> list[str]:
    for notice in notices:
        channel.deliver(notice, policy.recipients(notice.levels))
    return [_mailed(policy, notice) for notice in notices]


def _is_wanted(policy: Alerts, notice: Notice) -> bool:
    # A failed validation is also a failed run.
    failed = notice.status is Status.FAILED and notice.event is Event.VALIDATION
    return notice.event in policy.events or (failed and Event.FAILURE in policy.events)


def _has_address(policy: Alerts, notice: Notice) -> bool:
    to = policy.recipients(notice.levels)
    if not to:
        log.warning("Nobody is told of «%s»: no address is named for it", notice.title)
    return bool(to)


def _put(uri: str, policy: Alerts, notice: Notice) -> str:
    entry = outbox.put(uri, notice, cooldown=policy.cooldown)
    if entry.state is State.HELD:
        return "not mailed: the same was mailed before, within the cooldown"
    if policy.digest is not None and Level.URGENT not in entry.notice.levels:
        return "kept for the digest"
    return _mailed(policy, entry.notice)


def _recover(uri: str, run: Run, topic: str) -> str:
    recovery = outbox.recover(uri, topic, lambda before: outcome.recovery(run, before))
    return f"told: {recovery.title}" if recovery else ""


def _mailed(policy: Alerts, notice: Notice) -> str:
    return f"mailed to {', '.join(policy.recipients(notice.levels))}"
