"""The outbox: mails that are written down before they are sent, so that none is lost and none is sent twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_mlops.domain.results import Fact
from airflow_mlops.engines import tables
from airflow_mlops.exceptions import MailUndelivered, TableMissing, WriteConflict

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

_ATTEMPTS = 50
_TEXT = ("state", "key", "subject", "text", "html")
# Longer than a mail server lets a client wait as a rule; the same Message-ID covers the rest.
_CLAIM = timedelta(seconds=60)


class State(StrEnum):
    """What became of a mail: it waits, somebody is sending it, or it was sent."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"


class Mail(Fact):
    """One mail to whoever is to be told.

    :param key: idempotency key: one mail is sent for it, ever.
    :param text: body for readers without HTML.
    :param html: the same as a whole page.
    """

    key: str
    subject: str
    text: str
    html: str


class Row(Mail):
    """One event in the life of a mail.

    :param at: when it was recorded, in UTC; later than every row before it.
    """

    at: datetime
    state: State


def put(uri: str, mail: Mail) -> None:
    """Write a mail down to be sent; a key that is there already changes nothing.

    :raises WriteConflict: if other writers were faster again and again.
    """
    _append(uri, lambda rows: None if mail.key in rows else _event(mail, State.PENDING))


def pending(uri: str) -> list[Mail]:
    """Return the mails that are not known to be sent, oldest first; none if there is no outbox yet.

    :raises TableUnreadable: if the outbox is damaged.
    """
    try:
        known = _read(uri, None)
    except TableMissing:
        return []
    return [_mail(row) for row in known.values() if row.state is not State.SENT]


def deliver(uri: str, send: Callable[[Mail], None]) -> list[Mail]:
    """Send every pending mail and return those that were sent.

    A mail is claimed before it is sent, so that of two senders only one sends it. The claim of a sender that was
    killed ends after a minute: the mail is then sent again, for nobody knows how far it came.

    :param send: sends one mail, or raises.
    :raises MailUndelivered: if one could not be sent or is being sent by another task, after trying the others.
    """
    sent, problems = [], []
    for mail in pending(uri):
        if not _append(uri, lambda rows, key=mail.key: _claim(rows[key])):  # type: ignore[misc]
            problems.append(f"{mail.subject}: another task is sending it")
            continue
        try:
            send(mail)
        except Exception as error:  # noqa: BLE001 - whatever it was, the mail must not stay claimed
            _append(uri, lambda _, mail=mail: _event(mail, State.PENDING))  # type: ignore[misc]
            problems.append(f"{mail.subject}: {error}")
        else:
            _append(uri, lambda _, mail=mail: _event(mail, State.SENT))  # type: ignore[misc]
            sent.append(mail)
    waiting = [problem for problem in problems if problem]
    if waiting:
        raise MailUndelivered(f"{len(waiting)} mails wait in {uri}: {'; '.join(waiting)}")
    return sent


def _claim(row: Row) -> Row | None:
    taken = row.state is State.SENDING and datetime.now(UTC) - row.at < _CLAIM
    return None if taken or row.state is State.SENT else _event(row, State.SENDING)


def _event(mail: Mail, state: State) -> Row:
    return Row(**_mail(mail).model_dump(), state=state, at=datetime.now(UTC))
