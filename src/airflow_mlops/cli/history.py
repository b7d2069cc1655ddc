"""``airflow mlops history``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace

    from airflow_mlops.engines.ledger import Row


def history(args: Namespace) -> None:
    """Print the promotion ledger of a model, oldest first.

    :raises SystemExit: with code 1 if the model has no ledger.
    """
    from airflow.cli.simple_table import AirflowConsole

    from airflow_mlops import config
    from airflow_mlops.engines import ledger, tables

    uri = tables.uri_of(config.storage(), args.model, "ledger")
    rows = ledger.rows(uri)
    if not rows:
        raise SystemExit(f"There is no ledger of {args.model!r} at {uri}: nothing was decided on it yet.")
    AirflowConsole().print_as(data=rows, output=args.output, mapper=_columns)


def _columns(row: Row) -> dict[str, str]:
    return {
        "when": f"{row.at:%Y-%m-%d %H:%M:%S}",
        "partition": row.partition,
        "event": row.kind,
        "action": row.action,
        "from": row.before or "",
        "to": row.after or "",
        "reason": row.reason,
    }
