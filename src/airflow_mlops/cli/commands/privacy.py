"""Commands that take rows or models away."""

from __future__ import annotations

from airflow_mlops.cli.commands.command import MODEL, NAME, OUTPUT, Command, Group, argument, command


def privacy() -> tuple[Command | Group, ...]:
    """Return the commands that take rows or models away."""
    erase = command(
        "erase",
        "erase",
        "Erase rows of a person from every table and version; says what that takes without --delete",
        NAME,
        argument(
            "--where",
            action="append",
            metavar="COLUMN=VALUE",
            help="rows that have this value; repeatable, all have to hold",
        ),
        argument(
            "--keys",
            metavar="FILE",
            help="CSV file with a line of columns, and a line of values for each row",
        ),
        argument("--reason", help="why; it is kept in the record of erasures"),
        argument("--export", action="append", metavar="FILE", help="file that was exported; repeatable"),
        argument(
            "--spec", metavar="FILE", help="spec with the outputs of predictions, if not models/<name>.yaml"
        ),
        argument("--delete", action="store_true", help="erase them"),
    )
    erasures = command(
        "erasures",
        "erase",
        "Print what was erased from a dataset, when, by whom and why",
        NAME,
        OUTPUT,
    )
    remove = command(
        "remove-model",
        "remove",
        "Remove a model: tables, reports, experiment, registered model; says what goes without --delete",
        MODEL,
        argument("--reason", help="why; it is kept in the journal of changes"),
        argument("--delete", action="store_true", help="remove it"),
        function="remove",
    )
    rename = command(
        "rename-model",
        "rename",
        "Rename a model: tables, ledger, reports, experiment, registered model; says what changes without --rename",
        MODEL,
        argument("to", help="the new name"),
        argument("--reason", help="why; it is kept in the journal of changes"),
        argument("--rename", action="store_true", help="rename it"),
        function="rename",
    )
    return erase, erasures, remove, rename
