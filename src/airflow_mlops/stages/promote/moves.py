"""Moves of the champion and of the challenger: the protocol behind them, and what is left of a killed one.

MLflow moves an alias atomically but cannot compare before it sets. The ledger can: an intent is a claim that only
one move at a time can hold, and a retry reads from it how far the former try came.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts import scoring
from airflow_mlops.domain.facts.results import Action, ModelRef, PromotionDecision
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, PromotionConflict, RegistryUnavailable
from airflow_mlops.learning.models import models
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.stores.registry.ledger import CHALLENGES, Row, RowKind
from airflow_mlops.stores.registry.registry import CHALLENGER

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client


_TAGS = {
    Action.PROMOTED: "mlops.promoted",
    Action.ROLLED_BACK: "mlops.restored",
    Action.RESTORED: "mlops.restored",
    Action.CHALLENGING: "mlops.challenging",
    Action.DROPPED: "mlops.dropped",
}
# Between its claim and the alias a move makes at most four requests, each of which MLflow gives up after 95 s; a claim that
# is older and has moved nothing belongs to a process that was killed and not tried again.
_LEASE = timedelta(minutes=10)


def move(client: Client, ledger_uri: str, decision: PromotionDecision, actor: str) -> PromotionDecision:
    """Carry a decided move out: claim, point the alias, read it back, tag, and record.

    A challenger takes the place of whatever had the alias before. One that is dropped loses it if it has it still, and so
    does one whose trial ends with this promotion.

    :raises PromotionConflict: if the champion is another one by now, is being moved by somebody else, if somebody has
        given this move up since it took longer than a claim lasts, or has ended the trial that it is the end of.
    :raises ModelNotFound: if the version has been deleted meanwhile.
    :raises RegistryUnavailable: if MLflow does not answer; a retry goes on from there.
    """
    try:
        ledger.record(ledger_uri, RowKind.INTENT, decision, actor=actor)
        point = _challenge if decision.action in CHALLENGES else _point
        point(client, ledger_uri, decision)
    except (PromotionConflict, ModelNotFound) as error:
        _give_up(ledger_uri, decision, actor, str(error))
        raise
    _finish(client, ledger_uri, decision, actor)
    return decision


def resume(client: Client, ledger_uri: str, begun: Row, wanted: str | None, actor: str) -> PromotionDecision:
    """Finish what a key has begun, or return what it decided.

    If the alias has not moved yet, the version is verified again first: what the former try has seen may be long ago.

    :param begun: its last row.
    :param wanted: the version that the caller wants to move.
    :raises PromotionConflict: if it moved another version, or the champion has been moved on since; and as :func:`move`.
    :raises DigestMismatch: if the version is not what it was.
    """
    target = _target(begun.evidence)
    if target != wanted:
        name = CHALLENGER if begun.action in CHALLENGES else registry.CHAMPION
        raise PromotionConflict(
            f"{begun.key} has begun to move the {name} to version {target}, and cannot move it to {wanted} too."
        )
    if begun.kind is RowKind.DONE and begun.action in CHALLENGES:
        # A trial is meant to end: where the challenger is by now says nothing against what was done.
        return begun.evidence
    if begun.kind is RowKind.DONE:
        found = registry.champion_version(client, begun.evidence.model)
        if found != begun.after:
            raise PromotionConflict(
                f"{begun.key} has made version {begun.after} the champion, which is {named(found)} by now; "
                "trigger a new run to move it again."
            )
        return begun.evidence
    if not _is_there(client, begun.evidence):
        try:
            if begun.action is not Action.DROPPED:
                verify(client, registry.version(client, begun.evidence.model, str(target)), begun.digest)
        except (DigestMismatch, ModelNotFound) as error:
            _give_up(ledger_uri, begun.evidence, actor, str(error))
            raise
        if datetime.now(UTC) - begun.at > _LEASE / 2:
            # So that nobody ends the claim while this try goes on.
            ledger.record(ledger_uri, RowKind.ABORT, begun.evidence, actor=actor, reason="its retry claims anew")
    return move(client, ledger_uri, begun.evidence, actor)


def withdraw(client: Client, ledger_uri: str, begun: Row, why: str, actor: str) -> None:
    """Give up what a key has begun, since something is against it by now.

    :raises PromotionConflict: if the alias has moved already.
    """
    if begun.action in CHALLENGES and (begun.kind is RowKind.DONE or _is_there(client, begun.evidence)):
        raise PromotionConflict(
            f"{why}; but {begun.key} has made version {_target(begun.evidence)} the challenger before that was known. Delete "
            f"the alias {CHALLENGER} in MLflow: that ends its trial."
        )
    if begun.kind is RowKind.DONE or _is_there(client, begun.evidence):
        raise PromotionConflict(
            f"{why}; but {begun.key} has made version {begun.after} the champion before that was known. Take it back with "
            f"`airflow mlops rollback {begun.evidence.model} --reason …`."
        )
    ledger.record(ledger_uri, RowKind.ABORT, begun.evidence, actor=actor, reason=why)


def verify(client: Client, ref: ModelRef, digest: str | None) -> None:
    """Compare a version's bytes with a digest.

    :raises DigestMismatch: if they, or the version's own digest, are others.
    """
    if ref.digest != digest:
        raise DigestMismatch(
            f"Version {ref.version} of {ref.model!r} is registered with digest {ref.digest[:12]}…, but was "
            f"{str(digest)[:12]}… when its move began: somebody has changed it."
        )
    with TemporaryDirectory() as folder:
        models.verify(models.download(client, ref.run_id, Path(folder)), ref.digest)


def settle(
    client: Client,
    ledger_uri: str,
    model: str,
    key: str,
    actor: str,
    known: Sequence[Row] | None = None,
) -> str | None:
    """End the moves that killed processes began, and return the champion's version; None if there is none.

    :param key: of the caller's own move, which is left to it.
    :param known: the ledger's rows, as read just now; None means to read them.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    current = registry.champion_version(client, model)
    for other in ledger.pending(ledger_uri if known is None else known):
        if other.key == key:
            continue
        challenges = other.action in CHALLENGES
        if _is_there(client, other.evidence) if challenges else other.after == current:
            # Somebody else may end it at this moment.
            with suppress(PromotionConflict):
                _finish(client, ledger_uri, other.evidence, actor)
        elif datetime.now(UTC) - other.at > _LEASE:
            why = f"it moved nothing within {_LEASE.total_seconds() / 60:.0f} minutes; {key} goes on"
            _give_up(ledger_uri, other.evidence, actor, why)
    return current


def last_champion(client: Client, source: str | Sequence[Row], model: str) -> ModelRef | None:
    """Return the latest champion of the ledger that the registry still has as it was; None if it has none.

    What was rolled back has been found bad, and is none unless it was made champion once more.

    :param source: the ledger's URI, or its rows.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    bad: set[str | None] = set()
    for each in reversed(ledger.moves(source)):
        left_out = each.after in bad
        if each.action is Action.ROLLED_BACK:
            bad.add(each.before)
        if left_out:
            continue
        try:
            found = registry.version(client, model, str(each.after))
        except (ModelNotFound, DigestMismatch):
            continue
        if found.digest == each.digest:
            return found
    return None


def _target(decision: PromotionDecision) -> str | None:
    return decision.candidate if decision.action in CHALLENGES else decision.after


def _is_there(client: Client, decision: PromotionDecision) -> bool:
    """Tell whether the alias is where a decision moves it."""
    name = CHALLENGER if decision.action in CHALLENGES else registry.CHAMPION
    found = registry.alias_version(client, decision.model, name)
    return (found != _target(decision)) if decision.action is Action.DROPPED else (found == _target(decision))


def _challenge(client: Client, ledger_uri: str, decision: PromotionDecision) -> None:
    """Give a candidate the alias of the challenger, or take it away; whoever else has it keeps it then."""
    model, candidate = decision.model, str(decision.candidate)
    found = registry.champion_version(client, model)
    if decision.action is Action.CHALLENGING and found != decision.before:
        raise PromotionConflict(
            f"Version {candidate} of {model!r} was judged against {named(decision.before)}, but the champion is "
            f"{named(found)} now; decide again."
        )
    if _is_there(client, decision):
        return
    _refuse_ended_claim(ledger_uri, decision)
    failure: Exception | None = None
    try:
        if decision.action is Action.DROPPED:
            registry.drop_challenger(client, model, candidate)
        else:
            registry.set_challenger(client, model, candidate)
    except (RegistryUnavailable, ModelNotFound) as error:
        if getattr(error, "silent", False):
            raise
        failure = error
    # A reply can be lost: what stands there counts.
    if not _is_there(client, decision):
        raise failure or PromotionConflict(
            f"Somebody else moves the alias {CHALLENGER} of {model!r}; decide again."
        )


def _refuse_ended_claim(ledger_uri: str, decision: PromotionDecision) -> None:
    # MLflow may have taken its time; a claim that has been ended meanwhile must not move anything.
    claim = ledger.begun(ledger_uri, decision.key)
    if claim is None or claim.kind is not RowKind.INTENT:
        raise PromotionConflict(
            f"{decision.key} has not moved the alias to version {_target(decision)}: somebody has ended its claim."
        )


def _refuse_ended_trial(client: Client, decision: PromotionDecision) -> None:
    # Its owner can have ended it, or a training replaced it, while it was loaded or before this retry.
    if not scoring.ends_trial(decision.checks):
        return
    found = registry.alias_version(client, decision.model, CHALLENGER)
    if found != decision.after:
        raise PromotionConflict(
            f"The trial of version {decision.after} of {decision.model!r} was ended: the challenger is {named(found)} by now."
        )


def _point(client: Client, ledger_uri: str, decision: PromotionDecision) -> None:
    model, before, after = decision.model, decision.before, str(decision.after)
    failure: Exception | None = None
    found = registry.champion_version(client, model)
    if found == before:
        _refuse_ended_trial(client, decision)
        _refuse_ended_claim(ledger_uri, decision)
        try:
            registry.set_champion(client, model, after)
        except (RegistryUnavailable, ModelNotFound) as error:
            if getattr(error, "silent", False):
                raise
            failure = error
        # A reply can be lost, and a first alias that others set at the same time is refused: what stands there counts.
        found = registry.champion_version(client, model)
    if found == after:
        return
    if failure is not None and found == before:
        raise failure
    raise PromotionConflict(
        f"Version {after} of {model!r} was to follow {named(before)}, but the champion is {named(found)} now; decide again."
    )


def named(version: str | None) -> str:
    """Name a champion in a sentence."""
    return "none" if version is None else f"version {version}"


def _give_up(ledger_uri: str, decision: PromotionDecision, actor: str, why: str) -> None:
    # What somebody else has carried out meanwhile is no longer to be given up.
    with suppress(PromotionConflict):
        ledger.record(ledger_uri, RowKind.ABORT, decision, actor=actor, reason=why)


def _finish(client: Client, ledger_uri: str, decision: PromotionDecision, actor: str) -> None:
    if decision.action is Action.PROMOTED and scoring.ends_trial(decision.checks):
        # While the claim is held: otherwise a training could give the alias away in between.
        registry.drop_challenger(client, decision.model, str(decision.after))
    # A version that was dropped may have been deleted, which took its alias with it.
    with suppress(ModelNotFound) if decision.action is Action.DROPPED else nullcontext():
        registry.tag(client, decision.model, str(_target(decision)), _TAGS[decision.action], decision.key)
    ledger.record(ledger_uri, RowKind.DONE, decision, actor=actor)
