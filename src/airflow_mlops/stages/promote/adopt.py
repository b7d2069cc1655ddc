"""Adopt: a person takes responsibility for a champion or a challenger that no gate has let through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.results import Action, ModelRef, PromotionDecision
from airflow_mlops.stages.promote import moves, promote
from airflow_mlops.stores.registry import ledger, registry

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client


def adopt(
    client: Client,
    *,
    ledger_uri: str,
    model: str,
    version: str,
    reason: str,
    key: str,
    actor: str,
    challenger: bool = False,
) -> PromotionDecision:
    """Make a version champion, or challenger, by a person's decision, and record it with its digest.

    This is how a champion from before there was a ledger, or one that was set by hand, comes to serve. The version must load
    and predict as in training, in a fresh process. A challenger that was adopted predicts beside the champion, and is never
    promoted for it.

    :param key: idempotency key: a second call finishes the move that the first began.
    :param challenger: whether it becomes challenger, and not champion.
    :return: a decision with action ADOPTED, BESIDE for a challenger, or KEPT if it is in the ledger already.
    :raises ModelNotFound: if there is no such version.
    :raises PromotionConflict: if the champion is being moved by somebody else.
    :raises BlessingFailed: if the version fails in a fresh process; also DigestMismatch and UntrustedModel.
    :raises RegistryUnavailable: if MLflow does not answer; a second call goes on from there.
    """
    rows = ledger.rows(ledger_uri)
    if (begun := ledger.begun(rows, key)) is not None:
        return moves.resume(client, ledger_uri, begun, version, actor)
    aliased = moves.settle(client, ledger_uri, model, key, actor, rows)
    rows = ledger.rows(ledger_uri)
    target = registry.version(client, model, version)
    ledger_moves = ledger.moves(rows)
    last = ledger_moves[-1] if ledger_moves else None
    champion = last.after if last is not None else None
    decision = PromotionDecision(
        model=model, partition=ledger.latest_partition(rows) or target.trained_through or "", action=Action.ADOPTED,
        # If the alias is there already, only the ledger moves.
        before=champion if aliased == version else aliased, after=version, digest=target.digest, reason=reason, key=key,
        candidate=version,
    )  # fmt: skip
    move = last
    if challenger:
        decision = decision.model_copy(
            update={"action": Action.BESIDE, "before": champion, "after": champion}
        )
        move = ledger.challenger(rows)
        aliased = registry.alias_version(client, model, registry.CHALLENGER)
    if move is not None and aliased == version and _is_of(decision, target, move):
        role = registry.CHALLENGER if challenger else registry.CHAMPION
        why = f"version {version} is the {role} already"
        return decision.model_copy(update={"action": Action.KEPT, "reason": why})
    check = promote.blessed_again(client, target, registry.training(client, target).task)
    return moves.move(client, ledger_uri, decision.model_copy(update={"checks": (check,)}), actor)


def _is_of(decision: PromotionDecision, target: ModelRef, move: ledger.Row) -> bool:
    """Return whether the last move has recorded the very version."""
    recorded = move.evidence.candidate if decision.action is Action.BESIDE else move.after
    return (recorded, move.digest) == (target.version, target.digest)
