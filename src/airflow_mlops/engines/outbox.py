"""The outbox: mails that are written down before they are sent, so that none is lost and none is sent twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Fact
from airflow_mlops.engines import tables
from airflow_mlops.exceptions import MailUndelivered, TableMissing, WriteConflict

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

_ATTEMPTS = 50
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
    _append(uri, lambda rows: None if mail.key in rows else _event(mail, State.PENDING))


def pending(uri: str) -> list[Row]:
    """Return the mails that are not known to be sent, oldest first; none if there is no outbox yet.

    :raises TableUnreadable: if the outbox is damaged.
    """
    try:
        known = _read(uri, None)
    except TableMissing:
        return []
    return [row for row in known.values() if row.state is not State.SENT]


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
    def claim(rows: dict[str, Row]) -> Row | None:
        row = rows[mail.key]
        if row.state is State.SENDING and datetime.now(UTC) - row.at < _CLAIM:
            raise MailUndelivered(f"another task is sending it since {row.at:%H:%M:%S} UTC")
        return None if row.state is State.SENT else _event(mail, State.SENDING)

    if _append(uri, claim) is None:
        return False
    try:
        send(mail)
    except BaseException:
        _append(uri, lambda _: _event(mail, State.PENDING))
        raise
    _append(uri, lambda _: _event(mail, State.SENT))
    return True


def _event(mail: Mail, state: State) -> Row:
    return Row(**mail.model_dump(include=set(Mail.model_fields)), state=state, at=datetime.now(UTC))


def _append(uri: str, decide: Callable[[dict[str, Row]], Row | None]) -> Row | None:
    import pyarrow as pa
    from deltalake import CommitProperties, write_deltalake
    from deltalake.exceptions import CommitFailedError

    for _ in range(_ATTEMPTS):
        table = _open(uri)
        known = _read(uri, table.version())
        row = decide(known)
        if row is None:
            return None
        # Clocks of two machines differ; the order of the rows must not.
        at = max([row.at, *(each.at + timedelta(microseconds=1) for each in known.values())])
        rows = pa.Table.from_pylist([row.model_dump() | {"at": at}], _schema())
        # Without retries the commit succeeds only on the version that was read.
        alone = CommitProperties(max_commit_retries=0)
        try:
            write_deltalake(table, rows, mode="append", commit_properties=alone)
        except CommitFailedError:
            continue
        return row
    raise WriteConflict(f"The outbox at {uri} is being written by too many at once.")


def _read(uri: str, version: int | None) -> dict[str, Row]:
    rows = [Row.from_dict(row) for row in tables.read(uri, version=version).to_pylist()]
    return {row.key: row for row in sorted(rows, key=lambda row: row.at)}


def _open(uri: str) -> DeltaTable:
    from deltalake import DeltaTable

    try:
        return tables.open_table(uri)
    except TableMissing:
        DeltaTable.create(uri, _schema(), mode="ignore")
    return tables.open_table(uri)


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("at", pa.timestamp("us", "UTC")), *((name, pa.string()) for name in _TEXT)])
