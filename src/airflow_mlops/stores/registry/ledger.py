"""The promotion ledger: what was decided on each partition, and every move of the champion, in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from airflow_mlops.domain.checks import Fact
from airflow_mlops.domain.facts.results import Action, PromotionDecision
from airflow_mlops.exceptions import PromotionConflict, TableUnreadable
from airflow_mlops.stores.tables import journal

CHALLENGES = (Action.CHALLENGING, Action.DROPPED)
"""Moves of the challenger, which leave the champion where it is."""

_TEXT = ("kind", "action", "key", "partition", "before", "after", "digest", "reason", "evidence", "actor")


class RowKind(StrEnum):
    """What a row says: a move was begun, was carried out or was given up, or a partition was decided on."""

    INTENT = "intent"
    DONE = "done"
    ABORT = "abort"
    DECISION = "decision"


class Row(Fact):
    """One event.

    :param at: when it was recorded, in UTC; later than every row before it.
    :param action: what was decided, also if it was given up.
    :param key: idempotency key.
    :param before: champion's version before the move.
    :param after: champion's version after it; in an intent or abort the version that was meant to be. A move of the
        challenger leaves it, and is about the candidate of its evidence.
    :param reason: why; of an abort, why it was given up.
    :param evidence: the decision behind it.
    :param actor: the run or person that recorded it.
    """

    at: datetime
    kind: RowKind
    action: Action
    key: str
    partition: str
    before: str | None
    after: str | None
    digest: str | None
    reason: str
    evidence: PromotionDecision
    actor: str


def record(
    uri: str, kind: RowKind, decision: PromotionDecision, *, actor: str, reason: str | None = None
) -> Row:
    """Append a row and return it; what the last row of its key says already is not written again.

    An intent is a claim: while one of another key is open, none is added. A claim that somebody else has ended is lost:
    its move is not done, and one that is done is not given up.

    :param reason: None means the decision's own.
    :raises PromotionConflict: if another key's move is under way, or this key's has been ended by somebody else.
    :raises WriteConflict: if other writers were faster again and again.
    """
    row: Row

    def decide(found: list[journal.JournalRow], at: datetime) -> journal.JournalRow | None:
        nonlocal row
        known = [_row(values) for values in found]
        row = _new(kind, decision, actor, reason or decision.reason, at)
        last = next((each for each in reversed(known) if each.key == row.key), None)
        if last is not None and _said(last) == _said(row):
            row = last
            return None
        _refuse_ended(_last(known, row.key), row)
        if kind is RowKind.INTENT:
            _refuse_second_claim(known, row)
        return row.model_dump() | {"evidence": json.dumps(decision.to_dict())}

    journal.append(uri, _TEXT, decide)
    return row


def record_decision(uri: str, decision: PromotionDecision, *, actor: str) -> Row:
    """Record what was decided on a partition."""
    return record(uri, RowKind.DECISION, decision, actor=actor)


def rows(source: str | Sequence[Row]) -> list[Row]:
    """Return every row, oldest first; none if there is no ledger yet.

    :param source: the ledger's URI, or its rows if they were read before; so too of the functions below.
    :raises TableUnreadable: if the ledger is damaged.
    """
    return [_row(values) for values in journal.rows(source)] if isinstance(source, str) else list(source)


def decisions(source: str | Sequence[Row]) -> list[PromotionDecision]:
    """Return the latest decision on each partition, in order of partitions.

    A promotion is the decision on its partition from the moment the champion has moved, and so is a trial from the moment
    the challenger has. A rollback decides on none: it must not stand in for a decision whose turn has yet to come.
    """
    latest = {row.partition: row.evidence for row in rows(source) if _decides(row)}
    return [latest[partition] for partition in sorted(latest)]


def decision(uri: str, partition: str) -> PromotionDecision | None:
    """Return the latest decision on a partition; None if there is none yet."""
    return next((each for each in decisions(uri) if each.partition == partition), None)


def latest_partition(source: str | Sequence[Row]) -> str | None:
    """Return the latest partition that was decided on; None if none was."""
    return max((each.partition for each in decisions(source)), default=None)


def moves(source: str | Sequence[Row]) -> list[Row]:
    """Return the moves of the champion that were carried out, oldest first."""
    return [row for row in rows(source) if _moves(row)]


def challenger(source: str | Sequence[Row]) -> Row | None:
    """Return the move that made the present challenger one; None if there is none, or if the ledger does not know it.

    It is one until it becomes champion or is dropped, or another one takes its place.
    """
    found: Row | None = None
    for row in rows(source):
        if row.kind is not RowKind.DONE:
            continue
        if row.action is Action.CHALLENGING:
            found = row
        elif found is not None:
            ended = row.evidence.candidate if row.action is Action.DROPPED else row.after
            found = None if ended == found.evidence.candidate else found
    return found


def trial(source: str | Sequence[Row]) -> Row | None:
    """Return the move that made the present challenger one, as long as it can become champion by that; None without one.

    A trial is over, whoever has the alias, once the ledger has made another version champion than the one that the
    challenger was judged against.
    """
    known = rows(source)
    found, moved = challenger(known), moves(known)
    return None if found is not None and moved and moved[-1].after != found.before else found


def champion_as_of(source: str | Sequence[Row], partition: str) -> str | None:
    """Return the version that was champion when a partition arrived; None if there was none.

    A partition that was decided on, or at which the champion was rolled back, knows it; otherwise it is where the last
    move at an earlier partition took the champion. Keys of one grain sort as text.
    """
    known = rows(source)
    first = next((row for row in known if _tells(row) and row.partition == partition), None)
    if first is not None:
        return first.evidence.before
    earlier = [row for row in moves(known) if row.partition < partition]
    return earlier[-1].after if earlier else None


def reached(source: str | Sequence[Row], partition: str) -> bool:
    """Tell whether a partition or a later one was decided on, or had the champion rolled back at it.

    Which version was champion when that partition arrived is then for the ledger to say, and no longer for the alias.
    """
    return any(_tells(row) and row.partition >= partition for row in rows(source))


def begun(source: str | Sequence[Row], key: str) -> Row | None:
    """Return the intent, or what ended it, of a key; None if its move was never begun, or was given up."""
    last = _last(rows(source), key)
    return None if last is None or last.kind is RowKind.ABORT else last


def pending(source: str | Sequence[Row]) -> list[Row]:
    """Return the intents that nothing has ended yet, oldest first."""
    return _pending(rows(source))


def _moves(row: Row) -> bool:
    return row.kind is RowKind.DONE and row.action not in CHALLENGES


def _decides(row: Row) -> bool:
    decides = row.action in (Action.PROMOTED, Action.CHALLENGING)
    return row.kind is RowKind.DECISION or (row.kind is RowKind.DONE and decides)


def _tells(row: Row) -> bool:
    # An alias that is put back only says that it should never have left: what it was moved to is nobody's champion.
    return _decides(row) or (row.kind is RowKind.DONE and row.action is Action.ROLLED_BACK)


def _last(known: list[Row], key: str) -> Row | None:
    return next((row for row in reversed(known) if row.key == key and row.kind is not RowKind.DECISION), None)


def _pending(known: list[Row]) -> list[Row]:
    last = {row.key: row for row in known if row.kind is not RowKind.DECISION}
    return [row for row in last.values() if row.kind is RowKind.INTENT]


def _refuse_ended(last: Row | None, row: Row) -> None:
    if row.kind is RowKind.DONE and (last is None or last.kind is not RowKind.INTENT):
        why = f"{last.actor} has ended it: {last.reason}" if last else "it never made one"
        raise PromotionConflict(
            f"{row.key} has no claim any more to make {_aim(row)}: {why}. If the alias has moved all "
            "the same, a rollback puts it where the ledger says."
        )
    if row.kind is RowKind.ABORT and last is not None and last.kind is RowKind.DONE:
        raise PromotionConflict(f"{row.key} has made {_aim(last)} and cannot be given up any more.")


def _refuse_second_claim(known: list[Row], row: Row) -> None:
    for other in _pending(known):
        if other.key != row.key:
            what = f"moves the alias from version {other.before} to {other.after}"
            if other.action in CHALLENGES:
                what = f"makes {_aim(other)}"
            about = "be moved to or from the challenger" if row.action in CHALLENGES else "become champion"
            target = row.evidence.candidate if row.action in CHALLENGES else row.after
            raise PromotionConflict(
                f"Version {target} cannot {about} while {other.key} {what}, since {other.at:%Y-%m-%d %H:%M:%S} UTC."
            )


def _aim(row: Row) -> str:
    if row.action in CHALLENGES:
        said = "the challenger" if row.action is Action.CHALLENGING else "the challenger no longer"
        return f"version {row.evidence.candidate} {said}"
    return f"version {row.after} the champion"


def _new(kind: RowKind, decision: PromotionDecision, actor: str, reason: str, at: datetime) -> Row:
    return Row(
        at=at,
        kind=kind,
        action=decision.action,
        key=decision.key,
        partition=decision.partition,
        before=decision.before,
        after=decision.after,
        digest=decision.digest,
        reason=reason,
        evidence=decision,
        actor=actor,
    )


def _row(values: journal.JournalRow) -> Row:
    try:
        return Row.from_dict({**values, "evidence": json.loads(values["evidence"])})
    except (KeyError, TypeError, ValueError) as error:
        raise TableUnreadable(
            f"The ledger's row of {values.get('at')} was written by another version of this package, or by somebody "
            f"else: {' '.join(str(error).split())}"
        ) from error


def _said(row: Row) -> tuple[object, ...]:
    return row.kind, row.action, row.partition, row.before, row.after, row.reason
