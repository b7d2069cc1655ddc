"""The command that a project begins with."""

from __future__ import annotations

from airflow_mlops.cli.commands.command import Command, argument, command


def begin() -> Command:
    """Return the command that writes what a model begins with."""
    return command(
        "init",
        "init",
        "Look at data, and write what a model of it begins with: spec, DAG file, expectations, a test",
        argument("data", nargs="?", help="file of CSV, JSON lines or Parquet, or a folder of such files"),
        argument("--connection", metavar="CONN_ID", help="instead of a file: connection of a database"),
        argument("--table", help="table of the database"),
        argument("--name", help="name of the model; that of the file without it"),
        argument("--target", metavar="COLUMN", help="what is predicted"),
        argument(
            "--key",
            metavar="COLUMN,…",
            help="what identifies a row; none for a digest of the row",
        ),
        argument("--time", metavar="COLUMN", help="time that a row belongs to"),
        argument(
            "--as-of", metavar="DATE", help="of rows without a time: when they hold; makes one partition"
        ),
        argument("--partition", choices=("hour", "day", "week", "month"), help="length of a partition"),
        argument("--label-delay", metavar="DURATION", help="until the target of a row is known, such as P7D"),
        argument("--dags", metavar="FOLDER", default="dags", help="folder of DAG files (dags)"),
        argument(
            "--data-folder",
            metavar="FOLDER",
            help="where partitions are written, if they are; data/<name> beside the DAG files without it",
        ),
        argument(
            "--ci", action="store_true", help="also write a workflow of GitHub Actions that checks specs"
        ),
        argument(
            "--drop-duplicates",
            action="store_true",
            help="of rows without a key, leave out those that repeat an earlier one",
        ),
        argument("--yes", action="store_true", help="take the guesses for what is not said"),
        argument("--overwrite", action="store_true", help="replace files that are there"),
    )
