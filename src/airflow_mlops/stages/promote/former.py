"""Former champions: which one a rollback goes back to, and which versions it must not restore."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.results import Action, ModelRef
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, PromotionConflict, PromotionRefused
from airflow_mlops.stages.promote import moves
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.stores.registry.ledger import Row

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client


def refuse_lost(client: Client, ledger_uri: str, model: str) -> None:
    """Tell a first champion from one that follows a champion that somebody deleted: that one has not been beaten.

    :raises PromotionConflict: if the ledger knows a champion that MLflow has lost, while a former one is still there.
    """
    known = ledger.moves(ledger_uri)
    if not known or registry.champion_version(client, model) is not None:
        return
    left, lost = moves.last_champion(client, known, model), known[-1]
    if left is None:
        return
    raise PromotionConflict(
        f"{model!r} has no champion, though {lost.key} made version {lost.after} so: its alias or the version was deleted. "
        f"Version {left.version} is still there; restore it with `airflow mlops rollback {model} --to {left.version} "
        "--reason …`, then train again."
    )


def refuse_stranger(target: ModelRef, known: Sequence[Row]) -> None:
    """Refuse to restore what was never champion.

    :param known: the ledger's moves.
    :raises PromotionRefused: if the version never was champion.
    :raises DigestMismatch: if it was with another content.
    """
    digests = [move.digest for move in known if move.after == target.version]
    # What a promotion replaced was champion too, perhaps since before there was a ledger. What anything else replaced may
    # have been put there by hand.
    replaced = [move.before for move in known if move.action is Action.PROMOTED]
    if not digests and target.version not in replaced:
        raise PromotionRefused(
            f"Version {target.version} of {target.model!r} has never been champion; promote it instead."
        )
    if digests and target.digest not in digests:
        raise DigestMismatch(
            f"Version {target.version} of {target.model!r} is registered with digest {target.digest[:12]}…, but was "
            f"champion with {str(digests[-1])[:12]}…: somebody has changed it. Roll back to another version."
        )


def version(client: Client, known: Sequence[Row], model: str, current: str | None) -> str:
    """Return the version to go back to: the one before, or the champion itself if it has been restored already.

    :param known: the ledger's moves.
    :raises ModelNotFound: if there is none.
    """
    if current is None and not known:
        raise ModelNotFound(f"Model {model!r} has no champion to roll back from.")
    if current is None or not known or known[-1].after != current:
        left = moves.last_champion(client, known, model)
        if left is None:
            where = f"version {current}, which it does not know" if current else "none"
            raise ModelNotFound(
                f"The champion of {model!r} is {where}, and the ledger names none to go back to that MLflow still has "
                "and that was not rolled back itself."
            )
        return left.version
    last = next((m for m in reversed(known) if m.after == current and m.action is not Action.RESTORED), None)
    if last is None or last.action is Action.ROLLED_BACK:
        return current
    if last.before is None:
        raise ModelNotFound(
            f"Version {current} is the first champion of {model!r}: there is none to roll back to."
        )
    return last.before
