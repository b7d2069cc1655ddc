"""The outbox: mails that are written down before they are sent, so that none is lost and none is sent twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum

from airflow_mlops.domain.checks import Fact
from airflow_mlops.engines import journal
from airflow_mlops.exceptions import MailUndelivered

_TEXT = ("state", "key", "subject", "text", "html")
# Longer than sending takes as a rule. Should it take longer, the mail is sent twice, with one Message-ID.
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

    def decide(rows: list[journal.Values], at: datetime) -> journal.Values | None:
        known = any(row["key"] == mail.key for row in rows)
        return None if known else _event(mail, State.PENDING, at).model_dump()

    journal.append(uri, _TEXT, decide)


def pending(uri: str) -> list[Row]:
    """Return the mails that are not known to be sent, oldest first; none if there is no outbox yet.

    :raises TableUnreadable: if the outbox is damaged.
    """
    return [row for row in _latest(journal.rows(uri)).values() if row.state is not State.SENT]


def deliver(uri: str, send: Callable[[Mail], None]) -> list[Mail]:
    """Send every pending mail and return those that were sent.

    A mail is claimed before it is sent, so that of two senders only one sends it. The claim of a sender that was
    killed ends after a minute: the mail is then sent again, for nobody knows how far it came.

    :param send: sends one mail, or raises.
    :raises MailUndelivered: if one could not be sent or is being sent by another task, after trying the others.
    """
    sent: list[Mail] = []
    problems: list[str] = []
    for mail in pending(uri):
        try:
            if _send(uri, mail, send):
                sent.append(mail)
        except Exception as error:  # noqa: BLE001 - whatever it was, the mails after it are tried
            problems.append(f"{mail.subject}: {error}")
    if problems:
        raise MailUndelivered(f"Waiting in {uri}: {'; '.join(problems)}")
    return sent


def _send(uri: str, mail: Mail, send: Callable[[Mail], None]) -> bool:
    claimed = False

    def claim(rows: list[journal.Values], at: datetime) -> journal.Values | None:
        nonlocal claimed
        row = _latest(rows)[mail.key]
        if row.state is State.SENDING and at - row.at < _CLAIM:
            raise MailUndelivered(f"another task is sending it since {row.at:%H:%M:%S} UTC")
        claimed = row.state is not State.SENT
        return _event(mail, State.SENDING, at).model_dump() if claimed else None

    journal.append(uri, _TEXT, claim)
    if not claimed:
        return False
    try:
        send(mail)
    except BaseException:
        journal.append(uri, _TEXT, lambda _, at: _event(mail, State.PENDING, at).model_dump())
        raise
    journal.append(uri, _TEXT, lambda _, at: _event(mail, State.SENT, at).model_dump())
    return True


def _event(mail: Mail, state: State, at: datetime) -> Row:
    return Row(**mail.model_dump(include=set(Mail.model_fields)), state=state, at=at)


def _latest(rows: list[journal.Values]) -> dict[str, Row]:
    return {row["key"]: Row.from_dict(row) for row in rows}
