"""Entries of the outbox: what its rows say became of each notice, read from no more rows than a question needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from enum import StrEnum

from airflow_mlops.domain.checks import Fact
from airflow_mlops.reporting.alerts.notice import Notice, Status
from airflow_mlops.reporting.alerts.outcome import again
from airflow_mlops.stores import damage
from airflow_mlops.stores.tables.journal import JournalRow, OrderedRows
from airflow_mlops.stores.tables.selection import Selection

COLUMNS = ("state", "ids", "notice", "told", "topic", "problem", "status", "waiting")
"""Columns of the outbox. ``notice`` and the three after it that are found by are of a notice's first row only; rows of
former builds lack these three, and ``waiting``: the entries that are open after a row."""

# How many of the last rows are looked at before all of them are.
_RECENT = 256
Events = Selection[JournalRow]


class State(StrEnum):
    """What became of a notice: it waits, somebody is sending it, it was sent, or it was held back for good."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    HELD = "held back"


class Progress(Fact):
    """How far a notice has come.

    :param at: when it was written down, in UTC.
    :param since: when it came to its state.
    :param told: addresses that have it, or that refused it for good.
    """

    at: datetime
    state: State
    since: datetime
    told: tuple[str, ...] = ()


class Entry(Progress):
    """A notice in the outbox."""

    notice: Notice


def events(stored: OrderedRows) -> Events:
    """Return the rows of an outbox."""
    return Selection.stored(stored, lambda row: row)


def entries(rows: Sequence[JournalRow]) -> dict[str, Entry]:
    """Return what all rows say, by the id of the notice."""
    by_id: dict[str, Entry] = {}
    for row in rows:
        with _errors(row):
            state = {"state": State(row["state"]), "since": row["at"], "told": tuple(json.loads(row["told"]))}
            for name in json.loads(row["ids"]):
                if row["notice"] is not None:
                    by_id[name] = Entry(
                        notice=Notice.model_validate_json(row["notice"]), at=row["at"], **state
                    )
                else:
                    by_id[name] = by_id[name].model_copy(update=state)
    return by_id


def waiting(rows: Events) -> dict[str, Progress]:
    """Return what is not known to be sent, by the id of the notice, oldest first."""
    last = rows[-1] if rows else {"waiting": "{}"}
    if last.get("waiting") is not None:
        with _errors(last):
            parts = json.loads(last["waiting"])
            return {name: Progress.model_validate(progress) for name, progress in parts.items()}
    return {
        name: Progress(at=entry.at, state=entry.state, since=entry.since, told=entry.told)
        for name, entry in entries(rows).items()
        if entry.state in (State.PENDING, State.SENDING)
    }


def pending(rows: Events) -> list[Entry]:
    """Return what is not known to be sent, oldest first."""
    by_id = waiting(rows)
    if not by_id:
        return []
    alone = [json.dumps([name]) for name in by_id]
    recent = _written(rows.tail(_RECENT).having("ids", *alone))
    notices = recent if len(recent) == len(by_id) else _written(rows.having("ids", *alone))
    return [Entry(notice=notices[name], **dict(by_id[name])) for name in by_id]


def written(rows: Events, names: Sequence[str]) -> Entry | None:
    """Return the entry of the first of some ids that has one; None if none has."""
    import pyarrow.compute as pc

    own = rows.having("ids", *(json.dumps([name]) for name in names))
    if not own:
        return None
    by_id = _written(own)
    name = next(name for name in names if name in by_id)
    mentions = rows.where(pc.match_substring(rows.column("ids"), json.dumps(name)))
    first, last = mentions[0], mentions[-1]
    with _errors(last):
        return Entry(
            notice=by_id[name],
            at=first["at"],
            state=State(last["state"]),
            since=last["at"],
            told=tuple(json.loads(last["told"])),
        )


def event(
    rows: Events,
    state: State,
    at: datetime,
    ids: Sequence[str],
    *,
    notice: Notice | None = None,
    reached: Sequence[str] = (),
) -> JournalRow:
    """Return the row that some notices have come to a state.

    :param rows: those before it.
    :param notice: what the notice says, in its first row; the table keeps every row.
    """
    still = waiting(rows)
    for name in ids:
        former = still.pop(name, None)
        if state in (State.PENDING, State.SENDING):
            began = at if notice is not None else former.at if former is not None else _began(rows, name)
            still[name] = Progress(at=began, state=state, since=at, told=tuple(reached))
    ordered = sorted(still.items(), key=lambda item: item[1].at)
    return {
        "at": at,
        "state": state.value,
        "ids": json.dumps(list(ids)),
        "notice": notice.model_dump_json(exclude_defaults=True) if notice else None,
        "told": json.dumps(list(reached)),
        "topic": notice.topic if notice else "",
        "problem": notice.key if notice else "",
        "status": notice.status.value if notice else "",
        "waiting": json.dumps({name: progress.to_dict() for name, progress in ordered}),
    }


def completed(row: JournalRow) -> JournalRow:
    """Return a row of a former build with what its notice is found by."""
    notice = Notice.model_validate_json(row["notice"]) if row["notice"] is not None else None
    found_by = {
        "topic": notice.topic if notice else "",
        "problem": notice.key if notice else "",
        "status": notice.status.value if notice else "",
    }
    return {"waiting": None, **row, **found_by}


def judge(rows: Events, notice: Notice, at: datetime, cooldown: timedelta) -> tuple[State, Notice]:
    """Return whether a notice is held back, and what it says of what people were told before."""
    last = _last(rows, lambda some: _mailed(some, notice.topic))
    same = _last(rows, lambda some: _mailed(some, notice.topic).having("problem", notice.key))
    if not same:
        return State.PENDING, again(notice, _notice(last[-1]) if last else None)
    since, later = same[-1]["at"], rows.since(same)
    mailed = _mailed(later, notice.topic)
    failed = notice.status is Status.FAILED
    denials = mailed.without("status", Status.FAILED) if failed else mailed.having("status", Status.FAILED)
    if at - since < cooldown and not denials:
        small = {"summary": (), "facts": (), "findings": (), "sample": None, "passages": (), "links": ()}
        return State.HELD, notice.model_copy(update=small)
    held = len(later.having("problem", notice.key))
    return State.PENDING, again(notice, _notice(last[-1]), held=held, since=since)


def unwell(rows: Events, topic: str) -> Notice | None:
    """Return the last notice about a topic, if it said that the topic is not well."""
    last = _last(rows, lambda some: _mailed(some, topic))
    return _notice(last[-1]) if last.having("status", Status.FAILED, Status.WARNED) else None


def _mailed(rows: Events, topic: str) -> Events:
    return rows.having("topic", topic).without("state", State.HELD)


def _last(rows: Events, choose: Callable[[Events], Events]) -> Events:
    """Return the last of the rows that are chosen, or none; mostly it is among the last of all."""
    return (choose(rows.tail(_RECENT)) or choose(rows)).tail(1)


def _began(rows: Events, name: str) -> datetime:
    began: datetime = rows.having("ids", json.dumps([name]))[0]["at"]
    return began


def _written(rows: Events) -> dict[str, Notice]:
    notices: dict[str, Notice] = {}
    for row in rows:
        if row["notice"] is not None:
            with _errors(row):
                notices[json.loads(row["ids"])[0]] = _notice(row)
    return notices


def _notice(row: JournalRow) -> Notice:
    with _errors(row):
        return Notice.model_validate_json(row["notice"])


def _errors(row: JournalRow) -> AbstractContextManager[None]:
    return damage.errors(f"The outbox's row of {row.get('at')}")
