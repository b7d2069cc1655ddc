"""The promotion ledger: the decision on each partition, and every move of the champion, in order."""

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
"""Moves of the challenger alias, which do not change the champion."""

_TEXT = ("kind", "action", "key", "partition", "before", "after", "digest", "reason", "evidence", "actor")


class RowKind(StrEnum):
    """The kinds of rows: a move was begun, carried out or given up, or a partition was decided on."""

    INTENT = "intent"
    DONE = "done"
    ABORT = "abort"
    DECISION = "decision"


class Row(Fact):
    """One event.

    :param at: when it was recorded, in UTC; later than every row before it.
    :param action: the action that was decided, even if it was given up.
    :param key: idempotency key.
    :param before: champion's version before the move.
    :param after: champion's version after the move; in an intent or abort, the version that it was meant to be. A move
        of the challenger leaves the champion as it is; its version is the candidate of its evidence.
    :param reason: why it was decided; of an abort, why the move was given up.
    :param evidence: the decision that led to the row.
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
    """Append a row and return it; a row that equals the last one of its key is not written again.

    An intent is a claim: while the intent of another key is open, no further one is added. If somebody else has ended
    the claim of this key, its move cannot be recorded as done; and a move that is done cannot be given up.

    :param reason: None means the reason of the decision.
    :raises PromotionConflict: if a move of another key is under way, or somebody else has ended the move of this key.
    :raises WriteConflict: if other writers were faster again and again.
    """
    row: Row

    def decide(stored: list[journal.JournalRow], at: datetime) -> journal.JournalRow | None:
        nonlocal row
        history = [_row(columns) for columns in stored]
        row = _new(kind, decision, actor, reason or decision.reason, at)
        last = next((entry for entry in reversed(history) if entry.key == row.key), None)
        if last is not None and _content(last) == _content(row):
            row = last
            return None
        _refuse_ended(_last(history, row.key), row)
        if kind is RowKind.INTENT:
            _refuse_second_claim(history, row)
        return row.model_dump() | {"evidence": json.dumps(decision.to_dict())}

    journal.append(uri, _TEXT, decide)
    return row


def record_decision(uri: str, decision: PromotionDecision, *, actor: str) -> Row:
    """Record the decision on a partition."""
    return record(uri, RowKind.DECISION, decision, actor=actor)


def rows(source: str | Sequence[Row]) -> list[Row]:
    """Return every row, oldest first; none if there is no ledger yet.

    :param source: the ledger's URI, or its rows if they were read before; the functions below take the same.
    :raises TableUnreadable: if the ledger is damaged.
    """
    return [_row(columns) for columns in journal.rows(source)] if isinstance(source, str) else list(source)


def decisions(source: str | Sequence[Row]) -> list[PromotionDecision]:
    """Return the latest decision on each partition, in order of partitions.

    A promotion is the decision on its partition once the champion has moved, and a trial once the challenger has. A
    rollback is a decision on no partition: it must not stand in for a decision that is still to be made.
    """
    latest = {row.partition: row.evidence for row in rows(source) if _decides(row)}
    return [latest[partition] for partition in sorted(latest)]


def decision(uri: str, partition: str) -> PromotionDecision | None:
    """Return the latest decision on a partition; None if there is none yet."""
    return next((latest for latest in decisions(uri) if latest.partition == partition), None)


def latest_partition(source: str | Sequence[Row]) -> str | None:
    """Return the latest partition that was decided on; None if none was."""
    return max((latest.partition for latest in decisions(source)), default=None)


def moves(source: str | Sequence[Row]) -> list[Row]:
    """Return the moves of the champion that were carried out, oldest first."""
    return [row for row in rows(source) if _moves(row)]


def challenger(source: str | Sequence[Row]) -> Row | None:
    """Return the move that made the present challenger one; None if there is none, or the ledger lacks its move.

    A version is challenger until it becomes champion, is dropped, or is replaced by another challenger.
    """
    move: Row | None = None
    for row in rows(source):
        if row.kind is not RowKind.DONE:
            continue
        if row.action is Action.CHALLENGING:
            move = row
        elif move is not None:
            ended = row.evidence.candidate if row.action is Action.DROPPED else row.after
            move = None if ended == move.evidence.candidate else move
    return move


def trial(source: str | Sequence[Row]) -> Row | None:
    """Return the move that began the trial of the present challenger; None if no trial is under way.

    A trial is over, whichever version has the alias, once the ledger has another champion than the one against which
    the challenger was to be judged.
    """
    history = rows(source)
    challenge, champion_moves = challenger(history), moves(history)
    if challenge is not None and champion_moves and champion_moves[-1].after != challenge.before:
        return None
    return challenge


def champion_as_of(source: str | Sequence[Row], partition: str) -> str | None:
    """Return the version that was champion when a partition arrived; None if there was none.

    For a partition that was decided on, or at which the champion was rolled back, that row has the version; otherwise
    it is the version of the last move at an earlier partition. Keys of one grain sort as text.
    """
    history = rows(source)
    first = next((row for row in history if _names_champion(row) and row.partition == partition), None)
    if first is not None:
        return first.evidence.before
    earlier = [row for row in moves(history) if row.partition < partition]
    return earlier[-1].after if earlier else None


def reached(source: str | Sequence[Row], partition: str) -> bool:
    """Tell whether a partition or a later one was decided on, or had the champion rolled back at it.

    The ledger, and no longer the alias, then has the version that was champion when that partition arrived.
    """
    return any(_names_champion(row) and row.partition >= partition for row in rows(source))


def begun(source: str | Sequence[Row], key: str) -> Row | None:
    """Return the intent of a key, or the row that ended it; None if its move was never begun, or was given up."""
    last = _last(rows(source), key)
    return None if last is None or last.kind is RowKind.ABORT else last


def pending(source: str | Sequence[Row]) -> list[Row]:
    """Return the intents that no row has ended yet, oldest first."""
    return _pending(rows(source))


def _moves(row: Row) -> bool:
    return row.kind is RowKind.DONE and row.action not in CHALLENGES


def _decides(row: Row) -> bool:
    decides = row.action in (Action.PROMOTED, Action.CHALLENGING)
    return row.kind is RowKind.DECISION or (row.kind is RowKind.DONE and decides)


def _names_champion(row: Row) -> bool:
    # Putting an alias back does not count: the version that it was moved to by somebody else was never champion.
    return _decides(row) or (row.kind is RowKind.DONE and row.action is Action.ROLLED_BACK)


def _last(history: list[Row], key: str) -> Row | None:
    return next(
        (row for row in reversed(history) if row.key == key and row.kind is not RowKind.DECISION), None
    )


def _pending(history: list[Row]) -> list[Row]:
    last = {row.key: row for row in history if row.kind is not RowKind.DECISION}
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


def _refuse_second_claim(history: list[Row], row: Row) -> None:
    for other in _pending(history):
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
        role = "the challenger" if row.action is Action.CHALLENGING else "the challenger no longer"
        return f"version {row.evidence.candidate} {role}"
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


def _row(columns: journal.JournalRow) -> Row:
    try:
        return Row.from_dict({**columns, "evidence": json.loads(columns["evidence"])})
    except (KeyError, TypeError, ValueError) as error:
        raise TableUnreadable(
            f"The ledger's row of {columns.get('at')} was written by another version of this package, or by somebody "
            f"else: {' '.join(str(error).split())}"
        ) from error


def _content(row: Row) -> tuple[object, ...]:
    return row.kind, row.action, row.partition, row.before, row.after, row.reason
