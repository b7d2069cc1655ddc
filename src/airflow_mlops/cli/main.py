"""The program ``airflow-mlops``: the commands of ``airflow mlops``, each with no more of Airflow than it needs."""

from __future__ import annotations

import os
import select
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib import import_module

from airflow_mlops import __version__
from airflow_mlops.cli.commands.command import Command, Group
from airflow_mlops.cli.commands.everything import everything
from airflow_mlops.cli.project import choose


def main(words: Sequence[str] | None = None) -> None:
    """Run the command that the words of a command line name.

    :param words: without the program's name; those of this process if they are left out.
    :raises SystemExit: if they name no command, or the command fails; with 141 if whoever reads the output has left.
    """
    group = everything()
    parser = ArgumentParser("airflow-mlops", description=group.help)
    parser.add_argument("--version", action="version", version=__version__)
    _add(parser, group)
    args = parser.parse_args(words)
    try:
        call(args.function, args)
        sys.stdout.flush()
    except BrokenPipeError:
        if not _is_reader_gone():
            raise
        # What is left to be written would be refused again when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None


def _is_reader_gone() -> bool:
    """Tell whether nobody reads the output any more, as after ``| head``."""
    watched = select.poll()
    watched.register(sys.stdout.fileno(), select.POLLOUT)
    return any(event & select.POLLERR for _, event in watched.poll(0))


def call(path: str, args: Namespace) -> None:
    """Call the function of a command.

    :param path: the function, as a dotted path.
    """
    choose(path)
    module, _, function = path.rpartition(".")
    getattr(import_module(module), function)(args)


def _add(parser: ArgumentParser, group: Group) -> None:
    below = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in group.commands:
        _fill(below.add_parser(command.name, help=command.help, description=command.help), command)


def _fill(parser: ArgumentParser, command: Command | Group) -> None:
    if isinstance(command, Group):
        _add(parser, command)
        return
    for flags, settings in command.arguments:
        parser.add_argument(*flags, **settings)
    parser.set_defaults(function=command.function)
