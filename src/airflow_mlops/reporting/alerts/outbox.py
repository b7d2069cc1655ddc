"""The outbox: notices that are written down before they are mailed, so that none is lost and none is sent twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from airflow_mlops.domain.checks import Fact
from airflow_mlops.domain.spec.alerts import Level
from airflow_mlops.exceptions import MailUndelivered
from airflow_mlops.reporting.alerts.channel import Receipt
from airflow_mlops.reporting.alerts.notice import Notice, Status
from airflow_mlops.reporting.alerts.outcome import again, collect
from airflow_mlops.stores.tables import journal

_TEXT = ("state", "ids", "notice", "told")

CLAIM = timedelta(seconds=60)
"""How long a mail belongs to its sender. Sending takes less, so only the claim of a sender that was killed ends."""


class State(StrEnum):
    """What became of a notice: it waits, somebody is sending it, it was sent, or it was held back for good."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    HELD = "held back"


class Entry(Fact):
    """A notice in the outbox.

    :param at: when it was written into the outbox, in UTC.
    :param since: when it came to its state.
    :param told: addresses that have it, or that refused it for good.
    """

    notice: Notice
    at: datetime
    state: State
    since: datetime
    told: tuple[str, ...] = ()


def entries(uri: str) -> list[Entry]:
    """Return everything in the outbox, oldest first; nothing if there is none yet.

    :raises TableUnreadable: if the outbox is damaged.
    """
    return list(_entries(journal.rows(uri)).values())


def pending(uri: str) -> list[Entry]:
    """Return the entries that are not known to be sent, oldest first."""
    return [entry for entry in entries(uri) if entry.state in (State.PENDING, State.SENDING)]


def put(uri: str, notice: Notice, *, cooldown: timedelta = timedelta(), now: datetime | None = None) -> Entry:
    """Write a notice into the outbox, unless it was written there before.

    If the same problem was mailed within the cooldown, the notice is held back, unless the opposite was mailed in
    between. The next mail about the problem says how often that happened.

    :param cooldown: time in which a problem is mailed once.
    :param now: the time; None means that of the clock.
    :return: the entry of the notice.
    :raises WriteConflict: if other writers were faster again and again.
    """
    ids = (notice.id, *notice.same)

    def decide(rows: list[journal.JournalRow], at: datetime) -> journal.JournalRow | None:
        former = _entries(rows)
        if not former.keys().isdisjoint(ids):
            return None
        state, written = _judge(list(former.values()), notice, at, cooldown)
        return _event(state, at, [notice.id], notice=written)

    journal.append(uri, _TEXT, decide, now=now)
    by_id = _entries(journal.rows(uri))
    return next(by_id[name] for name in ids if name in by_id)


def recover(
    uri: str, topic: str, write: Callable[[Notice], Notice], *, now: datetime | None = None
) -> Notice | None:
    """Write into the outbox that a topic is well again, if the last notice about it said that it is not.

    :param write: returns the notice of recovery, from the last notice about the topic.
    :return: the notice of recovery; None if there was nothing to recover.
    """
    if not _open(list(_entries(journal.rows(uri)).values()), topic):
        return None
    recovery: Notice | None = None

    def decide(rows: list[journal.JournalRow], at: datetime) -> journal.JournalRow | None:
        nonlocal recovery
        before = _open(list(_entries(rows).values()), topic)
        recovery = write(before) if before else None
        return _event(State.PENDING, at, [recovery.id], notice=recovery) if recovery else None

    journal.append(uri, _TEXT, decide, now=now)
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
        journal.append(uri, _TEXT, lambda _, at: _event(state, at, ids, reached=sorted(reached)), now=now)

    def claim(rows: list[journal.JournalRow], at: datetime) -> journal.JournalRow | None:
        nonlocal reached
        former = _entries(rows)
        mine = [former[name] for name in ids]
        for entry in mine:
            if entry.state is State.SENDING and at - entry.since < CLAIM:
                raise _Claimed(f"another task is sending it since {entry.since:%H:%M:%S} UTC")
        if any(entry.state is State.SENT for entry in mine):
            reached = None
            return None
        reached = set.intersection(*(set(entry.told) for entry in mine))
        return _event(State.SENDING, at, ids, reached=sorted(reached))

    journal.append(uri, _TEXT, claim, now=now)
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


def _judge(
    former: Sequence[Entry], notice: Notice, at: datetime, cooldown: timedelta
) -> tuple[State, Notice]:
    mailed = [
        entry for entry in former if entry.notice.topic == notice.topic and entry.state is not State.HELD
    ]
    same = next((entry for entry in reversed(mailed) if entry.notice.key == notice.key), None)
    if same is None:
        return State.PENDING, again(notice, mailed[-1].notice if mailed else None)
    failed = notice.status is Status.FAILED
    denied = any(entry.at > same.at and (entry.notice.status is Status.FAILED) != failed for entry in mailed)
    if at - same.at < cooldown and not denied:
        small = {"summary": (), "facts": (), "findings": (), "sample": None, "passages": (), "links": ()}
        return State.HELD, notice.model_copy(update=small)
    held = sum(entry.notice.key == notice.key and entry.at > same.at for entry in former)
    return State.PENDING, again(notice, mailed[-1].notice, held=held, since=same.at)


def _open(former: Sequence[Entry], topic: str) -> Notice | None:
    mailed = [
        entry.notice for entry in former if entry.notice.topic == topic and entry.state is not State.HELD
    ]
    return mailed[-1] if mailed and mailed[-1].status in (Status.FAILED, Status.WARNED) else None


def _event(
    state: State,
    at: datetime,
    ids: Sequence[str],
    *,
    notice: Notice | None = None,
    reached: Sequence[str] = (),
) -> journal.JournalRow:
    # What the notice says stands in its first row only, for the table keeps every row.
    written = notice.model_dump_json(exclude_defaults=True) if notice else None
    return {
        "at": at,
        "state": state.value,
        "ids": json.dumps(list(ids)),
        "notice": written,
        "told": json.dumps(list(reached)),
    }


def _entries(rows: Sequence[journal.JournalRow]) -> dict[str, Entry]:
    by_id: dict[str, Entry] = {}
    for row in rows:
        state = {"state": State(row["state"]), "since": row["at"], "told": tuple(json.loads(row["told"]))}
        for name in json.loads(row["ids"]):
            if row["notice"] is not None:
                by_id[name] = Entry(notice=Notice.model_validate_json(row["notice"]), at=row["at"], **state)
            else:
                by_id[name] = by_id[name].model_copy(update=state)
    return by_id
