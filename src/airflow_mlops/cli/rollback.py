"""``airflow mlops rollback``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.cli.places import table_uri

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from airflow_mlops.domain.facts.results import Action
    from airflow_mlops.stores.registry.ledger import Row


def rollback(args: Namespace) -> None:
    """Move the champion alias back to an earlier version at once, and print the champion before and after.

    The scheduler is not needed. If the command is killed, running it again finishes the rollback.

    :raises SystemExit: if the rollback fails, with the reason, and whether the champion may have moved all the same.
    """
    from airflow_mlops.cli import connect
    from airflow_mlops.domain.facts.results import Action
    from airflow_mlops.stages.promote import promote
    from airflow_mlops.stores.registry import ledger

    if not args.reason.strip():
        raise SystemExit("--reason is empty; say why, the ledger keeps it.")
    uri, actor, key = table_uri(args.model, "ledger"), person(), None
    try:
        rows = ledger.rows(uri)
        partition = ledger.latest_partition(rows)
        if partition is None:
            raise SystemExit(f"There is no ledger of {args.model!r} at {uri}: it had no champion yet.")
        key = key_of(rows, Action.ROLLED_BACK, actor, args.to)
        decision = promote.rollback(
            connect.mlflow(),
            ledger_uri=uri,
            model=args.model,
            to=args.to,
            reason=args.reason.strip(),
            key=key,
            actor=actor,
            partition=partition,
        )
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        if key is not None and left_open(uri, key):
            again = (
                "The champion may have moved, for the rollback is not finished. Run it again to finish it."
            )
            raise SystemExit(f"{error}\n{again}") from error
        raise SystemExit(f"Nothing was rolled back: {error}") from error
    if decision.action is Action.KEPT:
        print(f"Nothing to do: {decision.reason}.")
        return
    print(f"champion of {args.model}: {named(decision.before)} → {named(decision.after)}")
    print(f"{decision.checks[-1].reason}; recorded as {actor}: {decision.reason}")


def person() -> str:
    """Return the person at the keyboard, by name and machine."""
    import getpass
    import socket

    return f"{getpass.getuser()}@{socket.gethostname()}"


def key_of(rows: Sequence[Row], action: Action, actor: str, to: str | None) -> str:
    """Return the key of this person's unfinished move of a kind to the same version; a new key if there is none."""
    from uuid import uuid4

    from airflow_mlops.stores.registry import ledger

    left = [
        row
        for row in ledger.pending(rows)
        if row.action is action and row.actor == actor and to in (None, row.evidence.candidate or row.after)
    ]
    return left[-1].key if left else f"{actor}/{uuid4()}"


def left_open(uri: str, key: str) -> bool:
    """Whether the ledger may have a move of the key that is not finished."""
    from airflow_mlops.stores.registry import ledger

    try:
        return ledger.begun(uri, key) is not None
    except (OSError, RuntimeError, ValueError):
        return True  # nobody can tell


def named(version: str | None) -> str:
    """Name a champion in a line."""
    return f"version {version}" if version else "none"
