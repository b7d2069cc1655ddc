"""Moves of the champion: the protocol behind a promotion and a rollback, and what is left of a killed one.

MLflow moves an alias atomically but cannot compare before it sets. The ledger can: an intent is a claim that only
one move at a time can hold, and a retry reads from it how far the former try came.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_mlops.domain.results import Action, ModelRef, PromotionDecision
from airflow_mlops.engines import ledger, registry
from airflow_mlops.engines.ledger import Kind, Row
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, PromotionConflict, RegistryUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

_TAGS = {
    Action.PROMOTED: "mlops.promoted",
    Action.ROLLED_BACK: "mlops.restored",
    Action.RESTORED: "mlops.restored",
}
# A move is a few requests, each of which MLflow gives up after 95 s; a claim that is older and has
# moved nothing belongs to a process that was killed and not tried again.
_LEASE = timedelta(minutes=5)


def move(client: MlflowClient, ledger_uri: str, decision: PromotionDecision, actor: str) -> PromotionDecision:
    """Carry a decided move out: claim, point the alias, read it back, tag, and record.

    :raises PromotionConflict: if the champion is another one by now, or is being moved by somebody else.
    :raises ModelNotFound: if the version has been deleted meanwhile.
    :raises RegistryUnavailable: if MLflow does not answer; a retry goes on from there.
    """
    model = decision.model
    try:
        settle(client, ledger_uri, model, decision.key, actor)
        ledger.record(ledger_uri, Kind.INTENT, decision, actor=actor)
        _point(client, decision)
    except (PromotionConflict, ModelNotFound) as error:
        ledger.record(ledger_uri, Kind.ABORT, decision, actor=actor, reason=str(error))
        raise
    _finish(client, ledger_uri, decision, actor)
    return decision


def resume(
    client: MlflowClient, ledger_uri: str, begun: Row, wanted: str | None, actor: str
) -> PromotionDecision:
    """Finish what a key has begun, or return what it decided.

    :param begun: its last row.
    :param wanted: the version that the caller wants to be champion.
    :raises PromotionConflict: if it moved another version, or the champion has been moved on since; and as :func:`move`.
    """
    if begun.after != wanted:
        raise PromotionConflict(
            f"{begun.key} has begun to move the champion to version {begun.after}, and cannot move it to {wanted} too."
        )
    if begun.kind is Kind.DONE:
        found = registry.champion_version(client, begun.evidence.model)
        if found != begun.after:
            raise PromotionConflict(
                f"{begun.key} has made version {begun.after} the champion, which is {_named(found)} by now; "
                "trigger a new run to move it again."
            )
        return begun.evidence
    return move(client, ledger_uri, begun.evidence, actor)


def settle(client: MlflowClient, ledger_uri: str, model: str, key: str, actor: str) -> str | None:
    """End the moves that killed processes began, and return the champion's version; None if there is none.

    :param key: of the caller's own move, which is left to it.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    current = registry.champion_version(client, model)
    for other in ledger.pending(ledger_uri):
        if other.key == key:
            continue
        if other.after == current:
            _finish(client, ledger_uri, other.evidence, actor)
        elif datetime.now(UTC) - other.at > _LEASE:
            why = f"it moved nothing within {_LEASE.total_seconds() / 60:.0f} minutes; {key} goes on"
            ledger.record(ledger_uri, Kind.ABORT, other.evidence, actor=actor, reason=why)
    return current


def last_champion(client: MlflowClient, ledger_uri: str, model: str) -> ModelRef | None:
    """Return the latest champion of the ledger that the registry still has as it was; None if it has none.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    for each in reversed(ledger.moves(ledger_uri)):
        try:
            found = registry.version(client, model, str(each.after))
        except (ModelNotFound, DigestMismatch):
            continue
        if found.digest == each.digest:
            return found
    return None


def _point(client: MlflowClient, decision: PromotionDecision) -> None:
    model, before, after = decision.model, decision.before, str(decision.after)
    failure: Exception | None = None
    found = registry.champion_version(client, model)
    if found == before:
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
        f"Version {after} of {model!r} was to follow {_named(before)}, but the champion is {_named(found)} now; decide again."
    )


def _named(version: str | None) -> str:
    return "none" if version is None else f"version {version}"


def _finish(client: MlflowClient, ledger_uri: str, decision: PromotionDecision, actor: str) -> None:
    registry.tag(client, decision.model, str(decision.after), _TAGS[decision.action], decision.key)
    ledger.record(ledger_uri, Kind.DONE, decision, actor=actor)
