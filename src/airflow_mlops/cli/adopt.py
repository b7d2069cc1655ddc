"""``airflow mlops adopt``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.cli.places import table_uri
from airflow_mlops.cli.rollback import key_of, left_open, named, person
from airflow_mlops.domain.counts import counted

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_mlops.domain.facts.results import TrainedModel
    from airflow_mlops.stores.registry.client import Client


def adopt(args: Namespace) -> None:
    """Make a version champion or challenger that no gate has let through, and print the champion before and after.

    A version that was trained elsewhere is taken in first: it is registered once more, as a version of ours. If the command is
    killed, running it again finishes the move.

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
        client = connect.mlflow()
        version = _version(client, args)
        action = Action.BESIDE if args.challenger else Action.ADOPTED
        key = key_of(ledger.rows(uri), action, actor, version)
        decision = stage.adopt(
            client, ledger_uri=uri, model=args.model, version=version, reason=args.reason.strip(), key=key,
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


def _version(client: Client, args: Namespace) -> str:
    """Return the number of the version to adopt, once it is one of ours."""
    from airflow_mlops import config
    from airflow_mlops.cli import connect
    from airflow_mlops.cli.replay import find_spec
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.hooks.mlflow import MlflowHook
    from airflow_mlops.stages import adopt as stage
    from airflow_mlops.stores.registry import elsewhere

    model = args.of or args.model
    if not elsewhere.is_foreign(client, model, args.version):
        for option, value in (
            ("--of", args.of),
            ("--from", args.first),
            ("--to", args.last),
            ("--trained-until", args.trained_until),
        ):
            if value is not None and value != args.model:
                raise ValueError(
                    f"{option} is for a version that was trained elsewhere, and version {args.version} of {model!r} has its own data: "
                    "leave it out."
                )
        return str(args.version)
    spec = ModelSpec.load(find_spec(args.model, connect.find_code()))
    trained = stage.taken_in(
        client, elsewhere.version(client, model, args.version), spec, config.storage(), first=args.first, last=args.last,
        trained_until=args.trained_until, artifacts=MlflowHook().artifact_location(args.model),
    )  # fmt: skip
    print(_taken_in(trained))
    return trained.version


def _taken_in(trained: TrainedModel) -> str:
    origin, split = trained.origin, trained.split
    assert origin is not None
    classes = f", classes {', '.join(trained.classes)}" if trained.classes else ""
    return (
        f"version {origin.version} of {origin.model} ({origin.format}) was taken in as version {trained.version} of {trained.model}: "
        f"{trained.task} by {', '.join(trained.features)}{classes}\n"
        f"drift is measured against {counted(split.train_rows, 'row')}, {split.start:%Y-%m-%d %H:%M} to {split.cut:%Y-%m-%d %H:%M}"
    )
