"""The commands, as plain data: ``airflow mlops`` shows them in Airflow, and ``airflow-mlops`` without loading it."""

from __future__ import annotations

from typing import Any, NamedTuple


class Argument(NamedTuple):
    """An argument of a command: its flags, or its name, and what ``argparse`` is told of it."""

    flags: tuple[str, ...]
    settings: dict[str, Any]


class Command(NamedTuple):
    """A command.

    :param function: what it calls with the parsed arguments, as a dotted path.
    """

    name: str
    help: str
    function: str
    arguments: tuple[Argument, ...]


class Group(NamedTuple):
    """Commands under a common name."""

    name: str
    help: str
    commands: tuple[Command | Group, ...]


def argument(*flags: str, **settings: Any) -> Argument:
    """Describe an argument as ``ArgumentParser.add_argument`` takes it."""
    return Argument(flags, settings)


FILE = argument("file", help="YAML file of the spec")
MODEL = argument("model", help="name of the model")
NAME = argument("name", help="name of the dataset; a model's data has the name of the model")
WHERE = argument(
    "--output-file", help="file to write: .parquet, .csv or .jsonl, also with .gz", required=True
)
PARTITION = argument("--partition", help="key of a partition, such as 2013-01; all without it")
FORCE = argument("--overwrite", action="store_true", help="replace the file if it is there")
OUTPUT = argument(
    "-o",
    "--output",
    choices=("table", "json", "yaml", "plain"),
    default="table",
    help="format of what is printed (table)",
)


def command(name: str, module: str, help: str, *arguments: Argument, function: str | None = None) -> Command:
    """Describe a command.

    :param module: of this package, with what it calls.
    :param function: the function's name there, if not the command's.
    """
    return Command(name, help, f"airflow_mlops.cli.{module}.{function or name}", arguments)


def group(name: str, help: str, *commands: Command) -> Group:
    """Describe commands under a common name."""
    return Group(name, help, commands)
