"""``airflow mlops init``."""

from __future__ import annotations

import os
import re
import textwrap
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.cli import terminal
from airflow_mlops.domain.counts import counted

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.stages.init.begin import Begun, Places
    from airflow_mlops.stages.init.inputs import Input
    from airflow_mlops.stages.init.plan import Plan

_ROOM = 80
_TABLE = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?"
_BECOMES = {
    "": "left out",
    "numeric": "number",
    "categorical": "category",
    "dates": "date",
    "text": "words",
    "time": "event time",
}
_ANSWERS = {"target": "target", "key": "key", "time": "event_time"}
"""The key of a spec, by the use of a column that somebody was asked for."""


def init(args: Namespace) -> None:
    """Look at data, ask what it does not tell, and write what a model of it begins with.

    :raises SystemExit: if the data cannot be read, an answer is wrong or missing, or a file is there already.
    """
    from airflow_mlops.cli.answers import answers
    from airflow_mlops.stages.init import begin, plan
    from airflow_mlops.stages.init import look as looks

    with _exit_on_error():
        name = _name(args)
        places = begin.Places(Path(args.dags), _data_folder(args, name), name, args.ci)
        data = _input(args)
        look = looks.look(data.read(), data.name)
        print(
            terminal.wrapped(
                f"{data.name}: {counted(look.rows, 'row')}, {counted(len(look.columns), 'column')}."
            )
        )
        for note in data.notes:
            print(terminal.wrapped(f"{note[0].upper()}{note[1:]}."))
        said, reasons = answers(args, data, look, name)
        made = plan.make(data, look, said, reasons)
        _print_columns(made)
        begun = begin.begin(
            made, look, places, overwrite=args.overwrite, drop_duplicates=args.drop_duplicates
        )
    _print_files(begun, places, made)


@contextmanager
def _exit_on_error() -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        raise SystemExit(terminal.wrapped(str(error))) from error


def _name(args: Namespace) -> str:
    from airflow_mlops.domain.spec.fields import checked_name
    from airflow_mlops.exceptions import SettingRefused
    from airflow_mlops.stages.init import plan

    if (args.data is None) == (args.connection is None) or (args.connection is None) != (args.table is None):
        raise SettingRefused("name a file or folder of data, or a table by --connection and --table")
    guess = args.table.rpartition(".")[2].lower() if args.table else plan.name_of(Path(args.data))
    return checked_name(args.name or guess)


def _data_folder(args: Namespace, name: str) -> Path:
    return Path(args.data_folder) if args.data_folder else Path(args.dags).absolute().parent / "data" / name


def _input(args: Namespace) -> Input:
    from airflow_mlops.stages.init import inputs

    if args.data is not None:
        return inputs.of_path(Path(args.data))
    from airflow_mlops.exceptions import SettingRefused
    from airflow_mlops.hooks.source_sql import SqlSource
    from airflow_mlops.stages.init.plan import of_partition

    if not re.fullmatch(_TABLE, args.table):
        raise SettingRefused(f"--table must name a table, such as sales or public.sales, not {args.table!r}")
    whole = SqlSource(args.connection, f"select * from {args.table}")  # noqa: S608 - a name, as checked

    def part(partition: Partition, time: str) -> Iterator[pa.RecordBatch]:
        return SqlSource(args.connection, of_partition(args.table, time)).batches(partition)

    return inputs.Input(
        args.table,
        inputs.Kept(lambda: whole.batches(None)),
        table=(args.connection, args.table),
        part=part,
    )


def _print_columns(made: Plan) -> None:
    from rich.console import Console

    reasons = {use: made.reasons.get(key, "") for use, key in _ANSWERS.items()}
    rows = [
        (role.column, role.kind, _BECOMES.get(role.use, role.use), reasons.get(role.use) or role.reason)
        for role in made.roles.roles
    ]
    rows += [(name, "", "added", reason) for name, reason in made.added.items()]
    room = min(terminal.width() or _ROOM, terminal.WIDE)
    print()
    names = ("column", "type", "becomes", "why")
    Console(width=room, highlight=False).print(terminal.table(names, rows, room=room))
    for label, key, value in (
        ("Partition", "partition", made.answers.grain.value),
        ("Labels", "labels", made.answers.delay),
    ):
        if key in made.reasons:
            print(terminal.wrapped(f"{label}: {value}, {made.reasons[key]}."))


def _print_files(begun: Begun, places: Places, made: Plan) -> None:
    if begun.dropped:
        print(f"Left out: {counted(begun.dropped, 'row')}, the same as an earlier one.")
    keys = list(begun.partitions)
    span = keys[0] if len(keys) == 1 else f"{keys[0]} to {keys[-1]}"
    partitions = (
        f"{counted(len(keys), 'partition')}, {span}, {counted(sum(begun.partitions.values()), 'row')}"
    )
    print("Written:")
    for path in begun.files:
        print(f"  {_short(path)}")
    if begun.data:
        print(f"  {_short(places.data)}/ ({partitions})")
    else:
        print(f"The data stays where it is: {partitions}.")
    if made.answers.time is None and made.answers.as_of is not None:
        print(textwrap.fill(_ONE, terminal.width() or _ROOM))
    spec = _short(places.spec)
    print("Next: look at the spec, then")
    print(f"  airflow-mlops spec check {spec}")
    print(f"  airflow-mlops run {spec}")
    print(f"  pytest {_short(places.test)}")


_ONE = (
    "Without a time there is one partition. A random part of it judges the model, and nothing tells whether the data drifts until "
    "a later partition comes."
)


def _short(path: Path) -> str:
    """Return a path as one types it from here, if it lies below."""
    relative = os.path.relpath(path)
    return str(path.absolute()) if relative.startswith("..") else relative
