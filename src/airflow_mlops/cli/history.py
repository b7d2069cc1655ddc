"""``airflow mlops history``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.cli.ledger_table import action_of, events, facts, table, write
from airflow_mlops.cli.places import table_uri
from airflow_mlops.cli.terminal import printable

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_mlops.stores.registry.ledger import Row


def history(args: Namespace) -> None:
    """Print the decisions on a model's champion and its moves, oldest first, or the whole story of one version.

    A table has each decision and each move once; JSON and YAML have every row of the ledger, with all its evidence.

    :raises SystemExit: if there is no record of the model or the version, or the ledger cannot be read.
    """
    from airflow.cli.simple_table import AirflowConsole

    from airflow_mlops.cli import story

    uri = table_uri(args.model, "ledger")
    rows = _rows(args.model, uri)
    if args.version is not None:
        story.tell(args.model, args.version, rows, args.output)
        return
    if not rows:
        raise SystemExit(f"There is no ledger of {args.model!r} at {uri}: nothing was decided on it yet.")
    console = AirflowConsole()
    if args.output == "table":
        console.print(table(rows))
        print(_tally(rows))
    elif args.output == "plain":
        console.print_as(data=events(rows), output="plain", mapper=_columns)
    else:
        write(console, [facts(row) for row in rows], args.output)


def _rows(model: str, uri: str) -> list[Row]:
    from airflow_mlops.stores.registry import ledger

    try:
        return list(ledger.rows(uri))
    except (OSError, RuntimeError) as error:
        raise SystemExit(f"The history of {model!r} cannot be told: {error}") from error


def _tally(rows: list[Row]) -> str:
    from airflow_mlops.domain.facts.tally import tally
    from airflow_mlops.stores.registry import ledger

    decisions = ledger.decisions(rows)
    return f"{len(decisions):,} partition{'s' * (len(decisions) != 1)}: {tally(decisions)}"


def _columns(row: Row) -> dict[str, str]:
    return {
        "when": f"{row.at:%Y-%m-%d %H:%M:%S}",
        "partition": row.partition,
        "what": action_of(row),
        "from": row.before or "",
        "to": row.after or "",
        "by": row.actor,
        "why": printable(" ".join(row.reason.split())),
    }
