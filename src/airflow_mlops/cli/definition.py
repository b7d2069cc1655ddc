"""The command group ``airflow mlops``. Every ``airflow`` process imports it, so it imports little of ours."""

from __future__ import annotations

import sys
from typing import Any

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command
from airflow.utils.cli_action_loggers import register_pre_exec_callback


def _arg(*flags: str, **kwargs: Any) -> Arg:
    return Arg(flags, **kwargs)  # type: ignore[no-untyped-call]


_FILE = _arg("file", help="YAML file of the spec")
_MODEL = _arg("model", help="name of the model")
_NAME = _arg("name", help="name of the dataset; a model's data has the name of the model")
_WHERE = _arg("--output-file", help="file to write: .parquet, .csv or .jsonl, also with .gz", required=True)
_PARTITION = _arg("--partition", help="key of a partition, such as 2013-01; all without it")
_FORCE = _arg("--overwrite", action="store_true", help="replace the file if it is there")


def _command(name: str, module: str, help: str, *args: Arg, function: str | None = None) -> ActionCommand:
    path = f"airflow_mlops.cli.{module}.{function or name}"
    return ActionCommand(name=name, help=help, func=lazy_load_command(path), args=args)


def _group(name: str, help: str, *commands: ActionCommand) -> GroupCommand:
    return GroupCommand(name=name, help=help, subcommands=commands)


def get_mlops_cli_commands() -> list[CLICommand]:
    """Return the group ``airflow mlops``, and register the preparation of warm workers before a command runs."""
    register_pre_exec_callback(_warm)  # type: ignore[no-untyped-call]
    return [
        GroupCommand(
            name="mlops",
            help="Continuous training of models",
            subcommands=(*_models(), _datasets(), _quarantine()),
        )
    ]


def _models() -> tuple[CLICommand, ...]:
    spec = _group(
        "spec",
        "Specs of models",
        _command(
            "check",
            "spec",
            "Validate a spec, and print every problem with its place; what its last file tells, if it is on this machine",
            _FILE,
            _arg("--data", action="store_true", help="look at the last file of its sources wherever it is"),
        ),
        _command("schema", "spec", "Print the JSON Schema of a spec, for editors"),
    )
    suggest = _command(
        "suggest",
        "suggest",
        "Learn expectations from published partitions, and write them as YAML to review",
        _MODEL,
        _arg(
            "--partitions", type=int, help="how many of the latest partitions to learn from; all without it"
        ),
        _arg("--output-file", help="file to write; printed without it"),
        _FORCE,
    )
    history = _command(
        "history",
        "history",
        "Print what became of a model's champion: who or what moved it, when, why, on which evidence",
        _MODEL,
        _arg("--version", help="version of the registered model: print its whole story"),
        ARG_OUTPUT,
    )
    rollback = _command(
        "rollback",
        "rollback",
        "Give the champion alias back to an earlier version, at once and without the scheduler",
        _MODEL,
        _arg("--to", help="version to go back to; without it the one before the champion"),
        _arg("--reason", required=True, help="why; it is kept in the ledger"),
    )
    adopt = _command(
        "adopt",
        "adopt",
        "Make a version champion or challenger that the ledger does not know, on a person's responsibility",
        _MODEL,
        _arg("version", help="version of the registered model"),
        _arg(
            "--challenger", action="store_true", help="it predicts beside the champion, and is never promoted"
        ),
        _arg("--reason", required=True, help="why; it is kept in the ledger"),
    )
    reproduce = _command(
        "reproduce",
        "reproduce",
        "Train a version again from the data and the recipe recorded with it, and compare",
        _MODEL,
        _arg("version", help="version of the registered model"),
    )
    replay = _command(
        "replay",
        "replay",
        "Run retrain policies over the recorded partitions, and compare what each comes to",
        _arg(
            "model",
            help="path of a spec, or name of a model whose models/<name>.yaml lies beside the DAG files",
        ),
        _arg(
            "--policy",
            action="append",
            default=[],
            metavar="FILE",
            help="YAML file with any of retrain, monitor, gates; repeatable",
        ),
        _arg(
            "--without",
            action="append",
            default=[],
            metavar="NAME",
            help="leave out current, never, every_partition or oracle; repeatable",
        ),
        _arg("--from", dest="first", help="first partition"),
        _arg("--to", dest="last", help="last partition"),
        _arg("--jobs", type=int, help="processes; as many as processors without it"),
        _arg("--output", help="folder to write; replay-<model> without it"),
        _arg("--quiet", metavar="FIRST..LAST", help="count false alarms of drift there; or all"),
    )
    return spec, suggest, history, rollback, adopt, reproduce, replay, *_privacy()


def _privacy() -> tuple[CLICommand, ...]:
    erase = _command(
        "erase",
        "erase",
        "Erase rows of a person from every table and version; says what that takes without --delete",
        _NAME,
        _arg(
            "--where",
            action="append",
            metavar="COLUMN=VALUE",
            help="rows that have this value; repeatable, all have to hold",
        ),
        _arg(
            "--keys",
            metavar="FILE",
            help="CSV file with a line of columns, and a line of values for each row",
        ),
        _arg("--reason", help="why; it is kept in the record of erasures"),
        _arg("--export", action="append", metavar="FILE", help="file that was exported; repeatable"),
        _arg(
            "--spec", metavar="FILE", help="spec with the outputs of predictions, if not models/<name>.yaml"
        ),
        _arg("--delete", action="store_true", help="erase them"),
    )
    erasures = _command(
        "erasures",
        "erase",
        "Print what was erased from a dataset, when, by whom and why",
        _NAME,
        ARG_OUTPUT,
    )
    remove = _command(
        "remove-model",
        "remove",
        "Remove a model: tables, reports, experiment, registered model; says what goes without --delete",
        _MODEL,
        _arg("--reason", help="why; it is kept in the journal of changes"),
        _arg("--delete", action="store_true", help="remove it"),
        function="remove",
    )
    rename = _command(
        "rename-model",
        "rename",
        "Rename a model: tables, ledger, reports, experiment, registered model; says what changes without --rename",
        _MODEL,
        _arg("to", help="the new name"),
        _arg("--reason", help="why; it is kept in the journal of changes"),
        _arg("--rename", action="store_true", help="rename it"),
        function="rename",
    )
    return erase, erasures, remove, rename


def _datasets() -> GroupCommand:
    return _group(
        "datasets",
        "Versions of datasets",
        _command(
            "list",
            "datasets",
            "Print the published versions of a dataset, its watermark and its gaps; without a name all datasets",
            _arg("name", nargs="?", help="name of the dataset"),
            _PARTITION,
            ARG_OUTPUT,
            function="show",
        ),
        _command(
            "diff",
            "datasets",
            "Print how the columns of two versions differ",
            _NAME,
            _arg("before", type=int, help="number of the earlier version"),
            _arg("after", type=int, nargs="?", help="number of the later version; the latest without it"),
            ARG_OUTPUT,
        ),
        _command(
            "export",
            "datasets",
            "Write a dataset to a file as it is, or as it was",
            _NAME,
            _WHERE,
            _arg("--version", type=int, help="number of a version"),
            _arg("--as-of", help="as it was at this time, such as 2013-03-01 or 2013-03-01T12:00:00+00:00"),
            _PARTITION,
            _FORCE,
        ),
        _command(
            "vacuum",
            "datasets",
            "Remove files of old versions that no live model needs; says which without --delete",
            _NAME,
            _arg("--days", type=int, default=30, help="keep the versions of so many days (30)"),
            _arg("--delete", action="store_true", help="remove them"),
        ),
    )


def _quarantine() -> GroupCommand:
    return _group(
        "quarantine",
        "Rows that were set aside",
        _command(
            "list",
            "quarantine",
            "Print how many rows are set aside, by partition and reason",
            _MODEL,
            _PARTITION,
            ARG_OUTPUT,
            function="show",
        ),
        _command(
            "export", "quarantine", "Write rows set aside to a file", _MODEL, _WHERE, _PARTITION, _FORCE
        ),
        _command(
            "release",
            "quarantine",
            "Let rows of a partition pass, as they are or corrected, from its next run on",
            _MODEL,
            _arg("--partition", required=True, help="key of the partition, such as 2013-01"),
            _arg("--reason", required=True, help="why; it is kept with the rows"),
            _arg(
                "--file", help="corrected rows, as exported; without it all rows of the partition as they are"
            ),
        ),
    )


def _warm(**_: object) -> None:
    # The command line is read here, because Airflow passes "wrapper" as the command of a Celery worker.
    if {"scheduler", "worker"} & set(sys.argv[1:3]):
        from airflow_mlops.plugin.preload import before_command

        before_command(sys.argv[1:])
