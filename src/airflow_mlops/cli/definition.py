"""The command group ``airflow mlops``. Every ``airflow`` process imports it, so it imports little of ours."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand
from airflow.utils.cli_action_loggers import register_pre_exec_callback

from airflow_mlops.cli.commands.command import Command, Group
from airflow_mlops.cli.commands.everything import everything


def get_mlops_cli_commands() -> list[CLICommand]:
    """Return the group ``airflow mlops``, and register the preparation of warm workers before a command runs."""
    register_pre_exec_callback(_warm)  # type: ignore[no-untyped-call]
    return [_of_airflow(everything())]


def _of_airflow(command: Command | Group) -> CLICommand:
    if isinstance(command, Group):
        return GroupCommand(command.name, command.help, [*map(_of_airflow, command.commands)])
    arguments = [Arg(flags, **settings) for flags, settings in command.arguments]  # type: ignore[no-untyped-call]
    return ActionCommand(command.name, command.help, _function_of(command.function), arguments)


def _function_of(path: str) -> Callable[[Namespace], None]:
    """Return a function that imports the command's own when it is called."""

    def command(args: Namespace) -> None:
        from airflow_mlops.cli import main

        main.call(path, args)

    command.__name__ = path.rpartition(".")[2]
    return command


def _warm(**_: object) -> None:
    # The command line is read here, because Airflow passes "wrapper" as the command of a Celery worker.
    if {"scheduler", "worker"} & set(sys.argv[1:3]):
        from airflow_mlops.plugin.preload import before_command

        before_command(sys.argv[1:])
