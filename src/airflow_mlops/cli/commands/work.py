"""Commands that do the work of the loop without a scheduler."""

from __future__ import annotations

from airflow_mlops.cli.commands.command import Command, argument, command

STORAGE = argument(
    "--storage",
    metavar="FOLDER",
    help="folder or URI for tables and reports, and for an MLflow of their own; [mlops] storage without it",
)
TRACKING_URI = argument("--tracking-uri", metavar="URI", help="MLflow that belongs to --storage")


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
        STORAGE,
        TRACKING_URI,
        argument("--json", action="store_true", help="print what became of each partition as JSON"),
    )
    plan = command(
        "plan",
        "plan",
        "Say what a changed spec would do, before it does it: tasks, data, predictions, training, champion; changes nothing. Exit "
        "code 3: something changes, 4: something that works would stop",
        argument(
            "spec",
            help="path of a spec, or name of a model whose models/<name>.yaml lies beside the DAG files",
        ),
        argument(
            "--against",
            metavar="FILE|REVISION",
            help="compare with this file, or with the spec at a revision of Git such as origin/main; without it with the spec "
            "that the model was last decided by",
        ),
        STORAGE,
        TRACKING_URI,
        argument(
            "--no-data",
            action="store_true",
            help="read no rows of the source: what would become of them is then not known",
        ),
        argument("--json", action="store_true", help="print it as JSON"),
    )
    return run, plan
