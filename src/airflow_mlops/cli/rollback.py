"""``airflow mlops rollback``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace


def rollback(args: Namespace) -> None:
    """Give the champion alias back to an earlier version at once, and print what it was before and is now.

    The scheduler is not needed. A command that was killed is finished by its repetition.

    :raises SystemExit: if it cannot be done, saying why; the champion is then the one that it was.
    """
    from airflow_mlops import config
    from airflow_mlops.cli import connect
    from airflow_mlops.domain.results import Action
    from airflow_mlops.engines import ledger, promote, tables

    if not args.reason.strip():
        raise SystemExit("--reason is empty; say why, the ledger keeps it.")
    uri, actor = tables.uri_of(config.storage(), args.model, "ledger"), _person()
    try:
        partition = ledger.latest_partition(uri)
        if partition is None:
            raise SystemExit(f"There is no ledger of {args.model!r} at {uri}: it had no champion yet.")
        decision = promote.rollback(
            connect.mlflow(),
            ledger_uri=uri,
            model=args.model,
            to=args.to,
            reason=args.reason.strip(),
            key=_key(uri, actor),
            actor=actor,
            partition=partition,
        )
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f"Nothing was rolled back: {error}") from error
    if decision.action is Action.KEPT:
        print(f"Nothing to do: {decision.reason}.")
        return
    print(f"champion of {args.model}: {_named(decision.before)} → {_named(decision.after)}")
    print(f"{decision.checks[-1].reason}; recorded as {actor}: {decision.reason}")


def _person() -> str:
    import getpass
    import socket

    return f"{getpass.getuser()}@{socket.gethostname()}"


def _key(uri: str, actor: str) -> str:
    from uuid import uuid4

    from airflow_mlops.domain.results import Action
    from airflow_mlops.engines import ledger

    left = [row for row in ledger.pending(uri) if row.action is Action.ROLLED_BACK and row.actor == actor]
    return left[-1].key if left else f"{actor}/{uuid4()}"


def _named(version: str | None) -> str:
    return f"version {version}" if version else "none"
