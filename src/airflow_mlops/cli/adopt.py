"""``airflow mlops adopt``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.cli.places import table_uri
from airflow_mlops.cli.rollback import key_of, left_open, named, person

if TYPE_CHECKING:
    from argparse import Namespace


def adopt(args: Namespace) -> None:
    """Make a version champion or challenger that no gate has let through, and print the champion before and after.

    If the command is killed, running it again finishes the move.

    :raises SystemExit: if it fails, with the reason, and whether an alias may have moved all the same.
    """
    from airflow_mlops.cli import connect
    from airflow_mlops.domain.facts.results import Action
    from airflow_mlops.stages.promote import adopt as stage
    from airflow_mlops.stores.registry import ledger

    if not args.reason.strip():
        raise SystemExit("--reason is empty; say why, the ledger keeps it.")
    uri, actor, key = table_uri(args.model, "ledger"), person(), None
    try:
        action = Action.BESIDE if args.challenger else Action.ADOPTED
        key = key_of(ledger.rows(uri), action, actor, args.version)
        decision = stage.adopt(
            connect.mlflow(), ledger_uri=uri, model=args.model, version=args.version, reason=args.reason.strip(), key=key,
            actor=actor, challenger=args.challenger,
        )  # fmt: skip
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        if key is not None and left_open(uri, key):
            raise SystemExit(f"{error}\nThe alias may have moved. Run it again to finish it.") from error
        raise SystemExit(f"Nothing was adopted: {error}") from error
    if decision.action is Action.KEPT:
        print(f"Nothing to do: {decision.reason}.")
        return
    if decision.action is Action.BESIDE:
        print(f"challenger of {args.model}: version {decision.candidate}")
    else:
        print(f"champion of {args.model}: {named(decision.before)} → {named(decision.after)}")
    print(f"{decision.checks[-1].reason}; recorded as {actor}: {decision.reason}")
