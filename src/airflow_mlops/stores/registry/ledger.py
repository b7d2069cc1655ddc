"""The promotion ledger: the decision on each partition, and every move of the champion, in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from airflow_mlops.domain.checks import Fact
from airflow_mlops.domain.facts.results import Action, PromotionDecision
from airflow_mlops.domain.facts.retraining import declined, trained
from airflow_mlops.exceptions import PromotionConflict
from airflow_mlops.stores import damage
from airflow_mlops.stores.tables import journal
from airflow_mlops.stores.tables.selection import Selection

CHALLENGES = (Action.CHALLENGING, Action.BESIDE, Action.DROPPED)
"""Moves of the challenger alias, which do not change the champion."""

# How many of the last rows are looked at before all of them are.
_RECENT = 64
_FACTS = ("kind", "action", "key", "partition", "before", "after", "digest", "reason", "evidence", "actor")
_TEXT = (*_FACTS, "attempt")


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

    @property
    def attempt(self) -> str:
        """Whether its decision has to do with a training: «yes» or «no»."""
        made = self.evidence
        return "yes" if trained(made) or declined(made) or made.trained_on is not None else "no"


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

    def decide(stored: journal.OrderedRows, at: datetime) -> journal.JournalRow | None:
        nonlocal row
        history = Selection.stored(stored, _row)
        row = _new(kind, decision, actor, reason or decision.reason, at)
        own = history.having("key", row.key)
        if own and _content(own[-1]) == _content(row):
            row = own[-1]
            return None
        _refuse_ended(_last(history, row.key), row)
        if kind is RowKind.INTENT:
            _refuse_second_claim(history, row)
        return _columns(row)

    journal.append(uri, _TEXT, decide)
    return row


def record_decision(uri: str, decision: PromotionDecision, *, actor: str) -> Row:
    """Record the decision on a partition."""
    return record(uri, RowKind.DECISION, decision, actor=actor)


def rows(source: str | Sequence[Row]) -> Selection[Row]:
    """Return every row, oldest first, of the ledger as it is now; none if there is no ledger yet.

    A row is read when it is looked at, for a ledger grows for years: what asks for a few rows does not read all of them.

    :param source: the ledger's URI, or its rows if they were read before; the functions below take the same.
    :raises TableUnreadable: if the ledger is damaged.
    """
    if isinstance(source, str):
        return Selection.stored(journal.read(source), _row)
    return source if isinstance(source, Selection) else Selection.of(source)


def decisions(source: str | Sequence[Row]) -> list[PromotionDecision]:
    """Return the latest decision on each partition, in order of partitions.

    A promotion is the decision on its partition once the champion has moved, and a trial once the challenger has. A
    rollback is a decision on no partition: it must not stand in for a decision that is still to be made.
    """
    history = rows(source)
    latest = {row.partition: row.evidence for row in _decided(history)}
    return [latest[partition] for partition in sorted(latest)]


def attempts(source: str | Sequence[Row]) -> list[PromotionDecision]:
    """Return the latest decision on each partition, in order, without those that had nothing to do with a training.

    These are all that a retrain policy looks back at. Rows of former builds do not say, and are all looked at.
    """
    history = rows(source)
    partitions = set(_decided(history.without("attempt", "no")).texts("partition"))
    return decisions(history.having("partition", *partitions))


def decision(source: str | Sequence[Row], partition: str) -> PromotionDecision | None:
    """Return the latest decision on a partition; None if there is none yet."""
    own = _decided(rows(source).having("partition", partition))
    return own[-1].evidence if own else None


def latest_partition(source: str | Sequence[Row]) -> str | None:
    """Return the latest partition that was decided on; None if none was."""
    history = rows(source)
    # Mostly it is among the last rows, and then all that might be later is little.
    recent = _decided(history.tail(_RECENT)) or _decided(history)
    latest = max(recent.texts("partition"), default=None)
    return latest and max(_decided(history.from_on("partition", latest)).texts("partition"))


def moves(source: str | Sequence[Row]) -> Selection[Row]:
    """Return the moves of the champion that were carried out, oldest first."""
    return rows(source).having("kind", RowKind.DONE).without("action", *CHALLENGES)


def challenger(source: str | Sequence[Row]) -> Row | None:
    """Return the move that made the present challenger one; None if there is none, or the ledger lacks its move.

    A version is challenger until it becomes champion, is dropped, or is replaced by another challenger.
    """
    done = rows(source).having("kind", RowKind.DONE)
    challenges = done.having("action", Action.CHALLENGING, Action.BESIDE)
    if not challenges:
        return None
    challenge = challenges[-1]
    candidate, later = challenge.evidence.candidate, done.since(challenges)
    crowned = later.without("action", Action.DROPPED).having("after", str(candidate))
    dropped = (row.evidence.candidate for row in later.having("action", Action.DROPPED))
    return None if crowned or candidate in dropped else challenge


def trial(source: str | Sequence[Row]) -> Row | None:
    """Return the move that began the trial of the present challenger; None if no trial is under way.

    A challenger that a person has put beside the champion is on no trial, as no gate has let it through.
    A trial is over, whichever version has the alias, once the ledger has another champion than the one against which
    the challenger was to be judged.
    """
    history = rows(source)
    challenge, champion_moves = challenger(history), moves(history)
    if challenge is not None and challenge.action is Action.BESIDE:
        return None
    if challenge is not None and champion_moves and champion_moves[-1].after != challenge.before:
        return None
    return challenge


def champion_as_of(source: str | Sequence[Row], partition: str) -> str | None:
    """Return the version that was champion when a partition arrived; None if there was none.

    For a partition that was decided on, or at which the champion was rolled back, that row has the version; otherwise
    it is the version of the last move at an earlier partition. Keys of one grain sort as text.
    """
    history = rows(source)
    own = _naming_champion(history.having("partition", partition))
    if own:
        return own[0].evidence.before
    earlier = moves(history).before("partition", partition)
    return earlier[-1].after if earlier else None


def reached(source: str | Sequence[Row], partition: str) -> bool:
    """Tell whether a partition or a later one was decided on, or had the champion rolled back at it.

    The ledger, and no longer the alias, then has the version that was champion when that partition arrived.
    """
    later = rows(source).from_on("partition", partition)
    return bool(_naming_champion(later.tail(_RECENT)) or _naming_champion(later))


def begun(source: str | Sequence[Row], key: str) -> Row | None:
    """Return the intent of a key, or the row that ended it; None if its move was never begun, or was given up."""
    last = _last(rows(source), key)
    return None if last is None or last.kind is RowKind.ABORT else last


def pending(source: str | Sequence[Row]) -> Selection[Row]:
    """Return the intents that no row has ended yet, oldest first."""
    return rows(source).without("kind", RowKind.DECISION).last_of_each("key").having("kind", RowKind.INTENT)


def _decided(history: Selection[Row]) -> Selection[Row]:
    return _done(history, Action.PROMOTED, Action.CHALLENGING)


def _naming_champion(history: Selection[Row]) -> Selection[Row]:
    # Putting an alias back does not count: the version that it was moved to by somebody else was never champion.
    return _done(history, Action.PROMOTED, Action.CHALLENGING, Action.ROLLED_BACK)


def _done(history: Selection[Row], *actions: Action) -> Selection[Row]:
    """Return the decisions, and the moves with some actions that were carried out."""
    import pyarrow.compute as pc

    ended = history.having("kind", RowKind.DECISION, RowKind.DONE)
    return ended.where(pc.or_(ended.has("kind", RowKind.DECISION), ended.has("action", *actions)))


def _last(history: Selection[Row], key: str) -> Row | None:
    own = history.having("key", key).without("kind", RowKind.DECISION)
    return own[-1] if own else None


def _refuse_ended(last: Row | None, row: Row) -> None:
    if row.kind is RowKind.DONE and (last is None or last.kind is not RowKind.INTENT):
        why = f"{last.actor} has ended it: {last.reason}" if last else "it never made one"
        raise PromotionConflict(
            f"{row.key} has no claim any more to make {_aim(row)}: {why}. If the alias has moved all "
            "the same, a rollback puts it where the ledger says."
        )
    if row.kind is RowKind.ABORT and last is not None and last.kind is RowKind.DONE:
        raise PromotionConflict(f"{row.key} has made {_aim(last)} and cannot be given up any more.")


def _refuse_second_claim(history: Selection[Row], row: Row) -> None:
    for other in pending(history):
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
        role = "the challenger no longer" if row.action is Action.DROPPED else "the challenger"
        return f"version {row.evidence.candidate} {role}"
    return f"version {row.after} the champion"


def _new(kind: RowKind, decision: PromotionDecision, actor: str, reason: str, at: datetime) -> Row:
    return Row(
        at=at, kind=kind, action=decision.action, key=decision.key, partition=decision.partition, before=decision.before,
        after=decision.after, digest=decision.digest, reason=reason, evidence=decision, actor=actor,
    )  # fmt: skip


def _columns(row: Row) -> journal.JournalRow:
    return row.model_dump() | {"evidence": json.dumps(row.evidence.to_dict()), "attempt": row.attempt}


def _row(columns: journal.JournalRow) -> Row:
    with damage.errors(f"The ledger's row of {columns.get('at')}"):
        facts = {name: columns[name] for name in ("at", *_FACTS)}
        return Row.from_dict({**facts, "evidence": json.loads(columns["evidence"])})


def _content(row: Row) -> tuple[object, ...]:
    return row.kind, row.action, row.partition, row.before, row.after, row.reason
