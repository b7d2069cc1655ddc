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
    """Refuse a first champion if there was one before that somebody deleted: the candidate has not beaten it.

    :raises PromotionConflict: if the ledger knows a champion that MLflow has lost, while a former one is still there.
    """
    ledger_moves = ledger.moves(ledger_uri)
    if not ledger_moves or registry.champion_version(client, model) is not None:
        return
    surviving, lost = moves.last_champion(client, ledger_moves, model), ledger_moves[-1]
    if surviving is None:
        return
    raise PromotionConflict(
        f"{model!r} has no champion, though {lost.key} made version {lost.after} so: its alias or the version was deleted. "
        f"Version {surviving.version} is still there; restore it with `airflow mlops rollback {model} --to {surviving.version} "
        "--reason …`, then train again."
    )


def refuse_stranger(target: ModelRef, ledger_moves: Sequence[Row]) -> None:
    """Refuse to restore a version that was never champion.

    :param ledger_moves: the ledger's moves.
    :raises PromotionRefused: if the version never was champion.
    :raises DigestMismatch: if it was champion with another digest.
    """
    # A version that was replaced and has no move of its own had the alias by hand, with whatever digest.
    digests = [move.digest for move in ledger_moves if move.after == target.version]
    if not digests:
        served = dict.fromkeys(str(move.after) for move in ledger_moves)
        others = f"; these have been: {', '.join(served)}" if served else ""
        raise PromotionRefused(
            f"Version {target.version} of {target.model!r} has never been champion by the ledger{others}. Name one of them, "
            f"or promote this one, or adopt it with `airflow mlops adopt {target.model} {target.version} --reason …`."
        )
    if target.digest not in digests:
        raise DigestMismatch(
            f"Version {target.version} of {target.model!r} is registered with digest {target.digest[:12]}…, but was "
            f"champion with {str(digests[-1])[:12]}…: somebody has changed it. Roll back to another version."
        )


def version(client: Client, ledger_moves: Sequence[Row], model: str, current: str | None) -> str:
    """Return the version to go back to: the one before, or the champion itself if it has been restored already.

    :param ledger_moves: the ledger's moves.
    :raises ModelNotFound: if there is none.
    """
    if current is None and not ledger_moves:
        raise ModelNotFound(f"Model {model!r} has no champion to roll back from.")
    if current is None or not ledger_moves or ledger_moves[-1].after != current:
        surviving = moves.last_champion(client, ledger_moves, model)
        if surviving is None:
            where = f"version {current}, which it does not know" if current else "none"
            raise ModelNotFound(
                f"The champion of {model!r} is {where}, and the ledger names none to go back to that MLflow still has "
                "and that was not rolled back itself."
            )
        return surviving.version
    champions = (move for move in reversed(ledger_moves) if move.action is not Action.RESTORED)
    last = next((move for move in champions if move.after == current), None)
    if last is None or last.action is Action.ROLLED_BACK:
        return current
    if last.before is None:
        raise ModelNotFound(
            f"Version {current} is the first champion of {model!r}: there is none to roll back to."
        )
    return last.before
