"""Moves of the champion and of the challenger: the protocol, and how the move of a killed process is ended.

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
    Action.ADOPTED: "mlops.adopted",
    Action.BESIDE: "mlops.challenging",
}
# Between its claim and the alias a move makes at most four requests, each of which fails after 95 s. A claim that is older
# and has moved nothing belongs to a process that was killed and not retried.
_LEASE = timedelta(minutes=10)


def move(client: Client, ledger_uri: str, decision: PromotionDecision, actor: str) -> PromotionDecision:
    """Carry a decided move out: claim, point the alias, read it back, tag, and record.

    A new challenger takes the alias from an earlier one. A challenger that is dropped, or whose trial ends with this
    promotion, loses the alias if it still has it.

    :raises PromotionConflict: if the champion has changed by now or is being moved by somebody else, if this move took
        longer than a claim lasts and somebody has given it up, or if somebody has ended the trial that it concludes.
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


def resume(
    client: Client, ledger_uri: str, begun: Row, requested: str | None, actor: str
) -> PromotionDecision:
    """Finish the move that a key has begun, or return its decision if it is done.

    If the alias has not moved yet, the version is verified again first: the earlier try may be long ago.

    :param begun: the key's last row in the ledger.
    :param requested: the version that the caller moves.
    :raises PromotionConflict: if the key has moved another version, or if the champion was moved again since; and as
        :func:`move`.
    :raises DigestMismatch: if the version has changed.
    """
    target = _target(begun.evidence)
    if target != requested:
        name = CHALLENGER if begun.action in CHALLENGES else registry.CHAMPION
        raise PromotionConflict(
            f"{begun.key} has begun to move the {name} to version {target}, and cannot move it to {requested} too."
        )
    if begun.kind is RowKind.DONE and begun.action in CHALLENGES:
        # A trial is meant to end, so it does not matter where the challenger's alias is by now.
        return begun.evidence
    if begun.kind is RowKind.DONE:
        champion = registry.champion_version(client, begun.evidence.model)
        if champion != begun.after:
            raise PromotionConflict(
                f"{begun.key} has made version {begun.after} the champion, which is {named(champion)} by now; "
                "trigger a new run to move it again."
            )
        return begun.evidence
    if not is_there(client, begun.evidence):
        try:
            if begun.action is not Action.DROPPED:
                verify(client, registry.version(client, begun.evidence.model, str(target)), begun.digest)
        except (DigestMismatch, ModelNotFound) as error:
            _give_up(ledger_uri, begun.evidence, actor, str(error))
            raise
        if datetime.now(UTC) - begun.at > _LEASE / 2:
            # So that nobody ends the claim while this try goes on.
            ledger.record(
                ledger_uri, RowKind.ABORT, begun.evidence, actor=actor, reason="its retry claims anew"
            )
    return move(client, ledger_uri, begun.evidence, actor)


def withdraw(client: Client, ledger_uri: str, begun: Row, why: str, actor: str) -> None:
    """Give up the move that a key has begun, because a gate or a person is against it by now.

    :raises PromotionConflict: if the alias has moved already.
    """
    if begun.action in CHALLENGES and (begun.kind is RowKind.DONE or is_there(client, begun.evidence)):
        raise PromotionConflict(
            f"{why}; but {begun.key} has made version {_target(begun.evidence)} the challenger before that was known. Delete "
            f"the alias {CHALLENGER} in MLflow: that ends its trial."
        )
    if begun.kind is RowKind.DONE or is_there(client, begun.evidence):
        raise PromotionConflict(
            f"{why}; but {begun.key} has made version {begun.after} the champion before that was known. Take it back with "
            f"`airflow mlops rollback {begun.evidence.model} --reason …`."
        )
    ledger.record(ledger_uri, RowKind.ABORT, begun.evidence, actor=actor, reason=why)


def verify(client: Client, ref: ModelRef, digest: str | None) -> None:
    """Compare a version's bytes with a digest.

    :raises DigestMismatch: if the bytes have another digest, or the version is registered with another one.
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
    rows: Sequence[Row] | None = None,
) -> str | None:
    """End the moves of killed processes, and return the champion's version; None if there is none.

    :param key: of the caller's own move, which is not ended.
    :param rows: the ledger's rows, as read just now; None means to read them.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    current = registry.champion_version(client, model)
    for other in ledger.pending(ledger_uri if rows is None else rows):
        if other.key == key:
            continue
        challenges = other.action in CHALLENGES
        if is_there(client, other.evidence) if challenges else other.after == current:
            # Somebody else may end the move at this moment.
            with suppress(PromotionConflict):
                _finish(client, ledger_uri, other.evidence, actor)
        elif datetime.now(UTC) - other.at > _LEASE:
            why = f"it moved nothing within {_LEASE.total_seconds() / 60:.0f} minutes; {key} goes on"
            _give_up(ledger_uri, other.evidence, actor, why)
    return current


def last_champion(client: Client, source: str | Sequence[Row], model: str) -> ModelRef | None:
    """Return the latest champion of the ledger that the registry still has unchanged; None if it has none.

    A version that was rolled back is left out, unless it was made champion again later.

    :param source: the ledger's URI, or its rows.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    rolled_back: set[str | None] = set()
    for row in reversed(ledger.moves(source)):
        left_out = row.after in rolled_back
        if row.action is Action.ROLLED_BACK:
            rolled_back.add(row.before)
        if left_out:
            continue
        try:
            champion = registry.version(client, model, str(row.after))
        except (ModelNotFound, DigestMismatch):
            continue
        if champion.digest == row.digest:
            return champion
    return None


def _target(decision: PromotionDecision) -> str | None:
    return decision.candidate if decision.action in CHALLENGES else decision.after


def is_there(client: Client, decision: PromotionDecision) -> bool:
    """Return whether the alias is where a decision moves it."""
    name = CHALLENGER if decision.action in CHALLENGES else registry.CHAMPION
    version = registry.alias_version(client, decision.model, name)
    there = version == _target(decision)
    return not there if decision.action is Action.DROPPED else there


def _challenge(client: Client, ledger_uri: str, decision: PromotionDecision) -> None:
    """Give a candidate the challenger's alias, or take it away unless another version has it by now."""
    model, candidate = decision.model, str(decision.candidate)
    champion = registry.champion_version(client, model)
    if decision.action is Action.CHALLENGING and champion != decision.before:
        raise PromotionConflict(
            f"Version {candidate} of {model!r} was judged against {named(decision.before)}, but the champion is "
            f"{named(champion)} now; decide again."
        )
    if is_there(client, decision):
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
    # MLflow's reply can be lost, so the alias itself counts.
    if not is_there(client, decision):
        raise failure or PromotionConflict(
            f"Somebody else moves the alias {CHALLENGER} of {model!r}; decide again."
        )


def _refuse_ended_claim(ledger_uri: str, decision: PromotionDecision) -> None:
    # MLflow may have been slow; a claim that somebody has ended meanwhile must not move anything.
    claim = ledger.begun(ledger_uri, decision.key)
    if claim is None or claim.kind is not RowKind.INTENT:
        raise PromotionConflict(
            f"{decision.key} has not moved the alias to version {_target(decision)}: somebody has ended its claim."
        )


def _refuse_ended_trial(client: Client, decision: PromotionDecision) -> None:
    # While the challenger was loaded, or before this retry, somebody may have ended its trial, or a training replaced it.
    if not scoring.ends_trial(decision.checks):
        return
    challenger = registry.alias_version(client, decision.model, CHALLENGER)
    if challenger != decision.after:
        raise PromotionConflict(
            f"The trial of version {decision.after} of {decision.model!r} was ended: the challenger is {named(challenger)} by now."
        )


def _point(client: Client, ledger_uri: str, decision: PromotionDecision) -> None:
    model, before, after = decision.model, decision.before, str(decision.after)
    failure: Exception | None = None
    champion = registry.champion_version(client, model)
    if champion == before:
        _refuse_ended_trial(client, decision)
        _refuse_ended_claim(ledger_uri, decision)
        try:
            registry.set_champion(client, model, after)
        except (RegistryUnavailable, ModelNotFound) as error:
            if getattr(error, "silent", False):
                raise
            failure = error
        # MLflow's reply can be lost, and it refuses a first alias that others set at the same time: the alias itself counts.
        champion = registry.champion_version(client, model)
    if champion == after:
        return
    if failure is not None and champion == before:
        raise failure
    raise PromotionConflict(
        f"Version {after} of {model!r} was to follow {named(before)}, but the champion is {named(champion)} now; decide again."
    )


def named(version: str | None) -> str:
    """Name a champion in a sentence."""
    return "none" if version is None else f"version {version}"


def _give_up(ledger_uri: str, decision: PromotionDecision, actor: str, why: str) -> None:
    # A move that somebody else has finished meanwhile cannot be given up any more.
    with suppress(PromotionConflict):
        ledger.record(ledger_uri, RowKind.ABORT, decision, actor=actor, reason=why)


def _finish(client: Client, ledger_uri: str, decision: PromotionDecision, actor: str) -> None:
    if decision.action is Action.PROMOTED and scoring.ends_trial(decision.checks):
        # The alias is dropped while the claim is held: otherwise a training could give it to its candidate in between.
        registry.drop_challenger(client, decision.model, str(decision.after))
    # A version that was dropped may have been deleted, which took its alias with it.
    with suppress(ModelNotFound) if decision.action is Action.DROPPED else nullcontext():
        registry.tag(client, decision.model, str(_target(decision)), _TAGS[decision.action], decision.key)
    ledger.record(ledger_uri, RowKind.DONE, decision, actor=actor)
