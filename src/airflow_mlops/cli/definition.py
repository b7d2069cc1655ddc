"""The command group; read by every ``airflow`` process, so it imports nothing of ours but what runs there."""

from __future__ import annotations

import sys

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command
from airflow.utils.cli_action_loggers import register_pre_exec_callback

_FILE = Arg(("file",), help="YAML file of the spec")  # type: ignore[no-untyped-call]
_MODEL = Arg(("model",), help="name of the model")  # type: ignore[no-untyped-call]


def get_mlops_cli_commands() -> list[CLICommand]:
    """Return ``airflow mlops``, and have warm workers prepared before a command runs."""
    register_pre_exec_callback(_warm)  # type: ignore[no-untyped-call]
    return [
        GroupCommand(
            name="mlops",
            help="Continuous training of models",
            subcommands=(
                GroupCommand(
                    name="spec",
                    help="Specs of models",
                    subcommands=(
                        ActionCommand(
                            name="check",
                            help="Validate a spec, and print every problem with its place",
                            func=lazy_load_command("airflow_mlops.cli.spec.check"),
                            args=(_FILE,),
                        ),
                        ActionCommand(
                            name="schema",
                            help="Print the JSON Schema of a spec, for editors",
                            func=lazy_load_command("airflow_mlops.cli.spec.schema"),
                            args=(),
                        ),
                    ),
                ),
                ActionCommand(
                    name="history",
                    help="Print what became of a model's champion, and why",
                    func=lazy_load_command("airflow_mlops.cli.history.history"),
                    args=(_MODEL, ARG_OUTPUT),
                ),
            ),
        )
    ]


def _warm(**_: object) -> None:
    # What Airflow passes names a Celery worker's command "wrapper".
    if {"scheduler", "worker"} & set(sys.argv[1:3]):
        from airflow_mlops.plugin.preload import before_command

        before_command(sys.argv[1:])
