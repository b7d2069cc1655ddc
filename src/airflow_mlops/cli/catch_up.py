"""``airflow mlops catch-up``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.local.api import AirflowApi

_SECONDS = 60
"""Seconds in which Airflow has to know the DAGs: their file may have been written just now."""


def catch_up(args: Namespace) -> None:
    """Bring partitions of history through a model's DAGs in order, follow them, and say what was decided.

    :raises SystemExit: with 1 if a partition failed, and with 130 after Ctrl-C, which leaves the runs to Airflow; with the
        reason if nothing can be started.
    """
    from rich.console import Console

    from airflow_mlops.local import progress
    from airflow_mlops.local.api import ApiError
    from airflow_mlops.local.catch_up import CatchUp

    console = Console()
    try:
        first, last = _span(args)
        airflow = _airflow(args)
        catch_up = CatchUp(airflow, args.model, first, last, record=args.for_the_record)
        catch_up.start(patience=_SECONDS)
        count = len(catch_up.partitions)
        go = "1 partition of {} goes" if count == 1 else f"{count} partitions of {{}} go"
        order = "" if count == 1 else ", one after the other"
        console.print(
            f"{go.format(args.model)} through its DAGs{order}: {airflow.url}",
            markup=False,
            soft_wrap=True,
        )
        progress.follow(catch_up, console)
        done = progress.summarize(catch_up, console)
    except (ApiError, LookupError, OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    except KeyboardInterrupt:
        print("\nAirflow goes on with what was started; the same command follows it again.", file=sys.stderr)
        raise SystemExit(130) from None
    raise SystemExit(0 if done else 1)


def _span(args: Namespace) -> tuple[Partition, Partition]:
    """Return the first and the last partition: as they are named, or as the spec beside the DAG files has them.

    :raises LookupError: if they are not named, and there is no such spec, or no partition of it.
    :raises ValueError: as :func:`span` does.
    """
    if args.first and args.last:
        return span(args.first, args.last)
    from airflow_mlops.cli.replay import find_spec
    from airflow_mlops.cli.span import present
    from airflow_mlops.domain.spec.specs import read
    from airflow_mlops.hooks.sources import from_spec

    try:
        spec = read(find_spec(args.model, [Path(args.dags)]))
    except LookupError:
        raise LookupError(
            f"Name the partitions with --from and --to: {args.dags}/models/{args.model}.yaml, which would tell, is not there."
        ) from None
    source = from_spec(spec.source)
    partitions = list(present(spec, source, args.first, args.last))
    if not partitions:
        raise LookupError(f"There is no partition to begin with in {source.describe(None)}.")
    return partitions[0], partitions[-1]


def span(first: str, last: str) -> tuple[Partition, Partition]:
    """Return the partitions of two keys, whose form says how long they are; weeks are named by their Mondays.

    :raises ValueError: if they are no keys of one form, or in the wrong order.
    """
    from airflow_mlops.domain.calendars import Grain
    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.exceptions import UnknownPartition

    for grain in (Grain.MONTH, Grain.DAY, Grain.HOUR):
        try:
            keys = Partition.parse(first, grain), Partition.parse(last, grain)
        except UnknownPartition:
            continue
        if keys[0] > keys[1]:
            raise ValueError(f"--from {first} is after --to {last}.")
        return keys
    raise ValueError(
        f"--from {first} and --to {last} are no partitions; write both as 2013-01, 2013-01-31 or 2013-01-31T23."
    )


def _airflow(args: Namespace) -> AirflowApi:
    """Return the API of the Airflow of a URL, or of the one that ``airflow mlops start`` has started.

    :raises ValueError: if there is no token for the URL, or no Airflow of that folder is running.
    """
    from airflow_mlops.local import home
    from airflow_mlops.local.api import TOKEN, AirflowApi

    if args.url is not None:
        token = Path(args.token_file).read_text().strip() if args.token_file else os.environ.get(TOKEN, "")
        if not token:
            raise ValueError(
                f"A token is needed for {args.url}, in {TOKEN} or in a file by --token-file. Airflow makes one: POST "
                f"{args.url.rstrip('/')}/auth/token, or whatever your login offers."
            )
        return AirflowApi(args.url, token)
    folder = home.of(Path(args.dags))
    running = home.running(folder)
    if running is None:
        raise ValueError(
            f"No Airflow of {folder} is running. Start one with `airflow-mlops start --dags {args.dags}`, or name another one with "
            "--url."
        )
    airflow = AirflowApi(running.url)
    airflow.log_in(running.user, running.password)
    return airflow
