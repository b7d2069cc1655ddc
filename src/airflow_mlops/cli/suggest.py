"""``airflow mlops suggest``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.cli.places import table_uri

if TYPE_CHECKING:
    from argparse import Namespace


def suggest(args: Namespace) -> None:
    """Learn expectations from published partitions, and print them or write them to a file.

    :raises SystemExit: if nothing was published, or the file is there or cannot be written.
    """
    from pathlib import Path

    from airflow_mlops.exceptions import TableMissing
    from airflow_mlops.stages.validate.suggest import suggest as suite_of

    if args.partitions is not None and args.partitions < 1:
        raise SystemExit(f"--partitions must be at least 1, not {args.partitions}")
    if args.output_file and Path(args.output_file).exists() and not args.overwrite:
        raise SystemExit(f"{args.output_file} is there already; name another file, or add --overwrite")
    try:
        suite = suite_of(table_uri(args.model, "data"), args.partitions)
        if args.output_file:
            Path(args.output_file).write_text(suite, encoding="utf-8")
    except (TableMissing, OSError) as error:
        raise SystemExit(str(error)) from error
    if args.output_file:
        count = suite.count("\n  - ")
        print(f"{args.output_file}: {count} expectations to review.")
    else:
        print(suite, end="")
