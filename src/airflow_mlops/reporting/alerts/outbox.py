"""The outbox: notices that are written down before they are mailed, so that none is lost and none is sent twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from airflow_mlops.domain.spec.alerts import Level
from airflow_mlops.exceptions import MailUndelivered
from airflow_mlops.reporting.alerts import entries as rows
from airflow_mlops.reporting.alerts.channel import Receipt
from airflow_mlops.reporting.alerts.entries import Entry, Events, State
from airflow_mlops.reporting.alerts.notice import Notice
from airflow_mlops.reporting.alerts.outcome import collect
from airflow_mlops.stores.tables import journal

CLAIM = timedelta(seconds=60)
"""How long a mail belongs to its sender. Sending takes less, so only the claim of a sender that was killed ends."""


def entries(uri: str) -> list[Entry]:
    """Return everything in the outbox, oldest first; nothing if there is none yet.

    :raises TableUnreadable: if the outbox is damaged.
    """
    return list(rows.entries(journal.rows(uri)).values())


def pending(uri: str) -> list[Entry]:
    """Return the entries that are not known to be sent, oldest first."""
    return rows.pending(rows.events(journal.read(uri)))


def put(uri: str, notice: Notice, *, cooldown: timedelta = timedelta(), now: datetime | None = None) -> Entry:
    """Write a notice into the outbox, unless it was written there before.

    If the same problem was mailed within the cooldown, the notice is held back, unless the opposite was mailed in
    between. The next mail about the problem says how often that happened.

    :param cooldown: time in which a problem is mailed once.
    :param now: the time; None means that of the clock.
    :return: the entry of the notice.
    :raises WriteConflict: if other writers were faster again and again.
    """
    entry: Entry | None = None

    def decide(former: Events, at: datetime) -> journal.JournalRow | None:
        nonlocal entry
        entry = rows.written(former, (notice.id, *notice.same))
        if entry is not None:
            return None
        state, words = rows.judge(former, notice, at, cooldown)
        entry = Entry(notice=words, at=at, state=state, since=at)
        return rows.event(former, state, at, [notice.id], notice=words)

    _append(uri, decide, now)
    assert entry is not None
    return entry


def recover(
    uri: str, topic: str, write: Callable[[Notice], Notice], *, now: datetime | None = None
) -> Notice | None:
    """Write into the outbox that a topic is well again, if the last notice about it said that it is not.

    :param write: returns the notice of recovery, from the last notice about the topic.
    :return: the notice of recovery; None if there was nothing to recover.
    """
    stored = journal.read(uri)
    if not len(stored) or (not _is_former(stored) and rows.unwell(rows.events(stored), topic) is None):
        return None
    recovery: Notice | None = None

    def decide(former: Events, at: datetime) -> journal.JournalRow | None:
        nonlocal recovery
        before = rows.unwell(former, topic)
        recovery = write(before) if before else None
        return rows.event(former, State.PENDING, at, [recovery.id], notice=recovery) if recovery else None

    _append(uri, decide, now)
    return recovery


def deliver(
    uri: str,
    send: Callable[[Notice, Sequence[str]], Receipt],
    recipients: Callable[[Sequence[Level]], Sequence[str]],
    *,
    digest: timedelta | None = None,
    now: datetime | None = None,
) -> list[Notice]:
    """Send the notices that wait, and return those that were sent.

    A mail is claimed before it is sent, so that of two senders only one sends it. The claim of a sender that was
    killed ends after a minute: the mail is then sent again, for nobody knows how far it came.

    :param send: mails a notice, or raises: :class:`MailUndelivered` if the other mails need not be tried.
    :param recipients: returns the addresses for notices of some levels; a notice without any waits.
    :param digest: time over which warnings are collected into one mail; None sends each at once.
    :raises MailUndelivered: if one could not be sent or is being sent by another task, after trying the others.
    """
    waiting = [entry for entry in pending(uri) if recipients(entry.notice.levels)]
    sent: list[Notice] = []
    problems: list[str] = []
    for batch in _batches(waiting, digest, now or datetime.now(UTC)):
        notice = batch[0].notice if len(batch) == 1 else collect([entry.notice for entry in batch])
        try:
            if _send(uri, batch, notice, send, recipients(notice.levels), now):
                sent.append(notice)
        except MailUndelivered as error:
            problems.append(str(error))
            break
        except Exception as error:  # noqa: BLE001 - whatever it was, the mails after it are tried
            problems.append(f"{notice.title}: {error}")
    if problems:
        raise MailUndelivered(f"Waiting in {uri}: {'; '.join(problems)}")
    return sent


class _Claimed(Exception):
    """Somebody else is sending it."""


def _send(
    uri: str,
    batch: Sequence[Entry],
    notice: Notice,
    send: Callable[[Notice, Sequence[str]], Receipt],
    recipients: Sequence[str],
    now: datetime | None,
) -> bool:
    ids = [entry.notice.id for entry in batch]
    reached: set[str] | None = None

    def note(state: State, reached: set[str]) -> None:
        _append(uri, lambda former, at: rows.event(former, state, at, ids, reached=sorted(reached)), now)

    def claim(former: Events, at: datetime) -> journal.JournalRow | None:
        nonlocal reached
        still = rows.waiting(former)
        mine = [still[name] for name in ids if name in still]
        for entry in mine:
            if entry.state is State.SENDING and at - entry.since < CLAIM:
                raise _Claimed(f"another task is sending it since {entry.since:%H:%M:%S} UTC")
        if len(mine) < len(ids):
            reached = None
            return None
        reached = set.intersection(*(set(entry.told) for entry in mine))
        return rows.event(former, State.SENDING, at, ids, reached=sorted(reached))

    _append(uri, claim, now)
    if reached is None:
        return False
    receipt = Receipt(settled=())
    if rest := [address for address in recipients if address not in reached]:
        try:
            receipt = send(notice, rest)
        except BaseException:
            note(State.PENDING, reached)
            raise
    note(State.PENDING if receipt.later else State.SENT, reached | set(receipt.settled))
    if receipt.later:
        raise ConnectionError(f"refused for now for {', '.join(receipt.later)}")
    return True


def _batches(waiting: Sequence[Entry], digest: timedelta | None, now: datetime) -> list[list[Entry]]:
    if digest is None:
        return [[entry] for entry in waiting]
    quiet = [entry for entry in waiting if Level.URGENT not in entry.notice.levels]
    due = bool(quiet) and now - quiet[0].at >= digest
    return [[entry] for entry in waiting if entry not in quiet] + ([quiet] if due else [])


class _Former(Exception):
    """A former build has written rows that are not found by what their notice is about."""


def _append(
    uri: str, decide: Callable[[Events, datetime], journal.JournalRow | None], now: datetime | None
) -> None:
    def decided(stored: journal.OrderedRows, at: datetime) -> journal.JournalRow | None:
        if _is_former(stored):
            raise _Former
        return decide(rows.events(stored), at)

    try:
        journal.append(uri, rows.COLUMNS, decided, now=now)
    except _Former:
        journal.complete(uri, rows.COLUMNS, rows.completed)
        journal.append(uri, rows.COLUMNS, decided, now=now)


def _is_former(stored: journal.OrderedRows) -> bool:
    return len(stored) > 0 and rows.events(stored).lacks("topic")
