"""``airflow mlops plan``."""

from __future__ import annotations

import json
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.cli import terminal
from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.preview import Outlook, Part
from airflow_mlops.domain.spec import defaults
from airflow_mlops.reporting.verdicts import COLOURS, WARN, Tone, appearance

if TYPE_CHECKING:
    from argparse import Namespace

    from rich.console import Console

    from airflow_mlops.domain.facts.preview import Preview, TaskChange
    from airflow_mlops.domain.spec.dataset import DataSpec
    from airflow_mlops.stores.registry.client import Client

CHANGES = 3
"""Exit code if something changes, or if there is nothing to compare with. Not 2, which a misspelt option ends with."""
BREAKS = 4
"""Exit code if something that works now would stop."""
_CODES = {Outlook.SAME: 0, Outlook.CHANGES: CHANGES, Outlook.UNKNOWN: CHANGES, Outlook.BREAKS: BREAKS}
_LOOKS = {
    Outlook.SAME: appearance(Verdict.PASS),
    Outlook.CHANGES: appearance(WARN)._replace(sign="~"),
    Outlook.BREAKS: appearance(Verdict.FAIL),
    Outlook.UNKNOWN: appearance(Verdict.INCONCLUSIVE),
}
_SIGNS = {outlook: (look.sign, look.terminal) for outlook, look in _LOOKS.items()}
_HOW = {
    how: (sign, COLOURS[tone].terminal)
    for how, sign, tone in (
        ("added", "+", Tone.GOOD),
        ("removed", "−", Tone.BAD),
        ("changed", "~", Tone.WARN),
    )
}
_LONGEST = 120
_INDENT = "    "
_Line = tuple[tuple[str, str], str]
"""A sign with its colour, and what it is about."""


def plan(args: Namespace) -> None:
    """Print what a spec would do, compared with the one that decided last, or with another one.

    :raises SystemExit: with code 3 if something changes, 4 if something that works would stop, and 1 if that cannot be told.
    """
    from rich.console import Console

    from airflow_mlops.cli import run

    try:
        run.place(args)
        spec, file = run.load(args.spec)
        run.log_to(Console(stderr=True), spec)
        outcome = _preview(args, spec, file)
    except KeyboardInterrupt:
        raise SystemExit("Stopped; nothing was changed.") from None
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(str(error)) from error
    if args.json:
        print(json.dumps({**outcome.to_dict(), "outlook": outcome.outlook}, indent=2))
    else:
        _print(Console(), outcome)
    if code := _CODES[outcome.outlook]:
        raise SystemExit(code)


def _preview(args: Namespace, spec: DataSpec, file: Path) -> Preview:
    from airflow_mlops import config
    from airflow_mlops.cli import former
    from airflow_mlops.hooks.sources import from_spec
    from airflow_mlops.pipelines.differences import task_changes
    from airflow_mlops.stages.preview import memory, preview
    from airflow_mlops.stores.tables import tables

    storage = config.storage()
    with ExitStack() as stack:
        if args.against is not None:
            before = stack.enter_context(former.former(args.against, file))
        else:
            before = memory.recall(tables.uri_of(storage, spec.name, memory.TABLE), spec.name)
        outcome = preview.preview(
            preview.PreviewPlan(
                spec=spec,
                former=before,
                storage=storage,
                source=None if args.no_data else from_spec(spec.source),
                connect=_mlflow,
                folder=file.parent,
            )
        )
    if before.spec is None and outcome.published:
        return outcome
    return outcome.model_copy(update={"tasks": task_changes(before.spec, spec, file.parent)})


def _mlflow() -> Client:
    """Return a client of an MLflow that is there: to open one that is not would make its database.

    :raises LookupError: if it has a database of SQLite, and this is not there.
    """
    from urllib.parse import urlsplit

    from airflow_mlops.cli import connect

    address = urlsplit(connect.mlflow_address())
    database = Path(address.path.removeprefix("/"))
    if address.scheme.startswith("sqlite") and not database.exists():
        raise LookupError(
            f"There is no database of MLflow at {database}, though decisions were recorded with one."
        )
    return connect.mlflow()


def _print(console: Console, outcome: Preview) -> None:
    from rich.text import Text

    console.print(Text(textwrap.fill(_summary(outcome), console.width), "bold"), soft_wrap=True)
    against = (
        f"Compared with {outcome.against}."
        if outcome.compared
        else "There is no former spec to compare with."
    )
    console.print(Text(against, "dim"))
    for title, lines in _sections(outcome):
        if lines:
            console.print()
            console.print(Text(title, "bold"))
        for (sign, colour), text in lines:
            # In a pipe, too: unlike rich's, these lines have no blanks at their ends.
            words = textwrap.fill(
                terminal.printable(text),
                console.width,
                initial_indent=_INDENT,
                subsequent_indent=_INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )
            line = Text.assemble("  ", (sign, colour), " ", words.removeprefix(_INDENT))
            console.print(line, soft_wrap=True)
    if outcome.newer:
        keys = "; ".join(f"{place}: {_shown(value)}" for place, value in outcome.newer.items())
        hint = f"defaults: {defaults.NEWEST} in the spec would change these besides, see docs/how-it-decides.md: {keys}."
        console.print()
        console.print(Text(textwrap.fill(hint, console.width, break_on_hyphens=False), "dim"), soft_wrap=True)


def _summary(outcome: Preview) -> str:
    count = len(outcome.changes)
    if outcome.outlook is Outlook.SAME:
        what = f"Nothing changes for {outcome.model}"
    elif not outcome.compared:
        what = (
            f"What changes for {outcome.model} is not known"
            if outcome.published
            else f"{outcome.model} is new"
        )
    else:
        what = f"{count} thing{' changes' if count == 1 else 's change'} for {outcome.model}"
    stops = sum(effect.outlook is Outlook.BREAKS for effect in outcome.effects)
    parts = [what]
    if stops:
        parts.append(f"{stops} thing{'' if stops == 1 else 's'} would stop working")
    if outcome.trains_at is not None:
        trains = {True: "trains", False: "does not train", None: "asks a person whether to train"}[
            outcome.trains
        ]
        parts.append(f"{outcome.trains_at} {trains}")
    return f"{'; '.join(parts)}."


def _sections(outcome: Preview) -> Iterator[tuple[str, list[_Line]]]:
    yield "Spec", [_changed(change.place, change.before, change.after) for change in outcome.changes]
    yield "DAGs and tasks", list(_tasks(outcome.tasks))
    yield (
        "Tables",
        [
            _changed(f"{change.table}.{change.column}", change.before, change.after)
            for change in outcome.columns
        ],
    )
    for part in Part:
        effects = [effect for effect in outcome.effects if effect.part is part]
        yield part.value.capitalize(), [(_SIGNS[effect.outlook], effect.text) for effect in effects]


def _changed(place: str, before: Any, after: Any) -> _Line:
    how = "added" if before is None else "removed" if after is None else "changed"
    values = [_shown(value) for value in (before, after) if value is not None]
    return _HOW[how], f"{place}: {' → '.join(values)}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST].rpartition(' ')[0] or line[:_LONGEST]} …"


def _tasks(changes: tuple[TaskChange, ...]) -> Iterator[_Line]:
    by_dag: defaultdict[tuple[str, str], list[TaskChange]] = defaultdict(list)
    for change in changes:
        by_dag[(change.dag, change.how)].append(change)
    for (dag, how), several in by_dag.items():
        words = [_task(change) for change in several]
        named = ", ".join(word for word in words if word)
        yield _HOW[how], f"{dag}: {named}" if named else dag


def _task(change: TaskChange) -> str:
    settings = f"({', '.join(change.settings)})" if change.settings else ""
    return f"{change.task or 'the DAG' if settings or change.task else ''} {settings}".strip()
