"""The page of commands."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_mlops.cli.commands.command import Argument, Group
from airflow_mlops.cli.commands.everything import everything
from tools.reference.markdown import page as page_of
from tools.reference.markdown import table


def page() -> str:
    """Return the page of all commands."""
    return page_of(
        "Commands",
        "Each is `airflow mlops COMMAND` within Airflow, and `airflow-mlops COMMAND` without loading more of Airflow than it needs. "
        "`--help` of each prints what is here.",
        *_sections(everything(), "airflow-mlops"),
    )


def _sections(group: Group, words: str) -> Iterator[str]:
    for command in group.commands:
        name = f"{words} {command.name}"
        if isinstance(command, Group):
            yield from _sections(command, name)
        else:
            yield f"## `{name}`"
            yield f"{command.help}."
            if command.arguments:
                yield table(["argument", "meaning"], [_row(argument) for argument in command.arguments])


def _row(argument: Argument) -> tuple[str, str]:
    settings = argument.settings
    choices = settings.get("choices")
    value = "" if settings.get("action") or "nargs" in settings else settings.get("metavar") or ""
    if not value and choices:
        value = ",".join(map(str, choices))
        value = f"{{{value}}}"
    if argument.flags[0].startswith("-") and not settings.get("action") and not value:
        value = argument.flags[-1].lstrip("-").replace("-", "_").upper()
    names = ", ".join(f"`{flag} {value}`" if value else f"`{flag}`" for flag in argument.flags)
    return names, f"{settings['help']}{'; required' if settings.get('required') else ''}"
