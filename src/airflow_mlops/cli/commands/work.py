"""Commands that do the work of the loop without a scheduler."""

from __future__ import annotations

from airflow_mlops.cli.commands.command import Command, argument, command


def work() -> tuple[Command, ...]:
    """Return the commands that run the loop on this machine."""
    run = command(
        "run",
        "run",
        "Take the partitions that there are through the loop, without Airflow's services; exit code 1: something failed, "
        "3: a person has to decide",
        argument(
            "spec",
            help="path of a spec, or name of a model whose models/<name>.yaml lies beside the DAG files",
        ),
        argument(
            "--from", dest="first", help="first partition; that of the spec, or of the source, without it"
        ),
        argument("--to", dest="last", help="last partition"),
        argument(
            "--storage",
            metavar="FOLDER",
            help="folder or URI for tables and reports, and for an MLflow of their own; [mlops] storage without it",
        ),
        argument("--tracking-uri", metavar="URI", help="MLflow that belongs to --storage"),
        argument("--json", action="store_true", help="print what became of each partition as JSON"),
    )
    return (run,)
