"""The pages, by the names of their files."""

from __future__ import annotations

from collections.abc import Callable

from tools.reference import commands, configuration, errors, metrics, operators, tables

PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands.page,
    "configuration.md": configuration.page,
    "errors.md": errors.page,
    "metrics.md": metrics.page,
    "operators.md": operators.page,
    "tables.md": tables.page,
}
