"""Moves of the champion: the protocol behind a promotion and a rollback, and what is left of a killed one.

MLflow moves an alias atomically but cannot compare before it sets. The ledger can: an intent is a claim that only
one move at a time can hold, and a retry reads from it how far the former try came.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from airflow_mlops.domain.results import Action, ModelRef, PromotionDecision
from airflow_mlops.engines import ledger, models, registry
from airflow_mlops.engines.ledger import Kind, Row
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, PromotionConflict, RegistryUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

_TAGS = {
    Action.PROMOTED: "mlops.promoted",
    Action.ROLLED_BACK: "mlops.restored",
    Action.RESTORED: "mlops.restored",
}
# After its claim a move makes four requests, each of which MLflow gives up after 95 s; a claim that is older and has
# moved nothing belongs to a process that was killed and not tried again.
_LEASE = timedelta(minutes=10)


def move(client: MlflowClient, ledger_uri: str, decision: PromotionDecision, actor: str) -> PromotionDecision:
    """Carry a decided move out: claim, point the alias, read it back, tag, and record.

    :raises PromotionConflict: if the champion is another one by now, is being moved by somebody else, or if somebody has
        given this move up since it took longer than a claim lasts.
    :raises ModelNotFound: if the version has been deleted meanwhile.
    :raises RegistryUnavailable: if MLflow does not answer; a retry goes on from there.
    """
    try:
        ledger.record(ledger_uri, Kind.INTENT, decision, actor=actor)
        _point(client, ledger_uri, decision)
    except (PromotionConflict, ModelNotFound) as error:
        _give_up(ledger_uri, decision, actor, str(error))
        raise
    _finish(client, ledger_uri, decision, actor)
    return decision


def resume(
    client: MlflowClient, ledger_uri: str, begun: Row, wanted: str | None, actor: str
) -> PromotionDecision:
    """Finish what a key has begun, or return what it decided.

    If the alias has not moved yet, the version is verified again first: what the former try has seen may be long ago.

    :param begun: its last row.
    :param wanted: the version that the caller wants to be champion.
    :raises PromotionConflict: if it moved another version, or the champion has been moved on since; and as :func:`move`.
    :raises DigestMismatch: if the version is not what it was.
    """
    if begun.after != wanted:
        raise PromotionConflict(
            f"{begun.key} has begun to move the champion to version {begun.after}, and cannot move it to {wanted} too."
        )
    found = registry.champion_version(client, begun.evidence.model)
    if begun.kind is Kind.DONE:
        if found != begun.after:
            raise PromotionConflict(
                f"{begun.key} has made version {begun.after} the champion, which is {named(found)} by now; "
                "trigger a new run to move it again."
            )
        return begun.evidence
    if found != begun.after:
        try:
            verify(client, registry.version(client, begun.evidence.model, str(begun.after)), begun.digest)
        except (DigestMismatch, ModelNotFound) as error:
            _give_up(ledger_uri, begun.evidence, actor, str(error))
            raise
        if datetime.now(UTC) - begun.at > _LEASE / 2:
            # So that nobody ends the claim while this try goes on.
            ledger.record(ledger_uri, Kind.ABORT, begun.evidence, actor=actor, reason="its retry claims anew")
    return move(client, ledger_uri, begun.evidence, actor)


def withdraw(client: MlflowClient, ledger_uri: str, begun: Row, why: str, actor: str) -> None:
    """Give up what a key has begun, since something is against it by now.

    :raises PromotionConflict: if the alias has moved already.
    """
    if begun.kind is Kind.DONE or registry.champion_version(client, begun.evidence.model) == begun.after:
        raise PromotionConflict(
            f"{why}; but {begun.key} has made version {begun.after} the champion before that was known. Take it back with "
            f"`airflow mlops rollback {begun.evidence.model} --reason …`."
        )
    ledger.record(ledger_uri, Kind.ABORT, begun.evidence, actor=actor, reason=why)


def verify(client: MlflowClient, ref: ModelRef, digest: str | None) -> None:
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
    client: MlflowClient,
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
        if other.after == current:
            # Somebody else may end it at this moment.
            with suppress(PromotionConflict):
                _finish(client, ledger_uri, other.evidence, actor)
        elif datetime.now(UTC) - other.at > _LEASE:
            why = f"it moved nothing within {_LEASE.total_seconds() / 60:.0f} minutes; {key} goes on"
            _give_up(ledger_uri, other.evidence, actor, why)
    return current


def last_champion(client: MlflowClient, source: str | Sequence[Row], model: str) -> ModelRef | None:
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


def _point(client: MlflowClient, ledger_uri: str, decision: PromotionDecision) -> None:
    model, before, after = decision.model, decision.before, str(decision.after)
    failure: Exception | None = None
    found = registry.champion_version(client, model)
    if found == before:
        # MLflow may have taken its time; a claim that has been ended meanwhile must not move anything.
        claim = ledger.begun(ledger_uri, decision.key)
        if claim is None or claim.kind is not Kind.INTENT:
            raise PromotionConflict(
                f"{decision.key} has not moved the champion to version {after}: somebody has ended its claim."
            )
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
        ledger.record(ledger_uri, Kind.ABORT, decision, actor=actor, reason=why)


def _finish(client: MlflowClient, ledger_uri: str, decision: PromotionDecision, actor: str) -> None:
    registry.tag(client, decision.model, str(decision.after), _TAGS[decision.action], decision.key)
    ledger.record(ledger_uri, Kind.DONE, decision, actor=actor)
