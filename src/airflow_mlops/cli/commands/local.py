"""Commands that run an Airflow on this machine, and bring history through the DAGs of any Airflow."""

from __future__ import annotations

from airflow_mlops.cli.commands.command import MODEL, Command, argument, command

DAGS = argument("--dags", default="dags", help="folder of the DAG files (dags)")


def local() -> tuple[Command, ...]:
    """Return the commands of a local Airflow."""
    catch_up = command(
        "catch-up",
        "catch_up",
        "Bring history through a model's DAGs, oldest partition first, follow it, and say what was decided",
        MODEL,
        argument(
            "--from",
            dest="first",
            help="first partition, such as 2013-01; that of the spec, or of its source, without it",
        ),
        argument("--to", dest="last", help="last partition"),
        argument(
            "--for-the-record",
            action="store_true",
            help="where later partitions were decided already: judge candidates without moving the champion",
        ),
        argument("--url", help="of an Airflow anywhere; without it the one that `airflow-mlops start` runs"),
        argument(
            "--token-file", help="file with a token of that Airflow; without it AIRFLOW_MLOPS_TOKEN has it"
        ),
        DAGS,
        function="catch_up",
    )
    start = command(
        "start",
        "start",
        "Run a complete Airflow on a folder of DAG files, with MLflow's pages and a mailbox, until Ctrl-C",
        DAGS,
        argument(
            "--port", type=int, help="of Airflow's pages; without it that of the last start, or a free one"
        ),
    )
    return start, catch_up
