"""The page of errors."""

from __future__ import annotations

import inspect
import re

from airflow_mlops import exceptions
from tools.reference.markdown import page as page_of
from tools.reference.markdown import parse, table

_PARTS = re.compile(
    r"(?P<meaning>.+?\.) A retry (?P<retry>can help(?: only [^:.]*)?|cannot help): (?P<action>.+)", re.DOTALL
)


def page() -> str:
    """Return the page of all errors.

    :raises ValueError: if an error does not say what it means, whether a retry can help, and what to do.
    """
    return page_of(
        "Errors",
        "The first line of a failed task's last log entry names the error; its message names the field, file or row. Airflow tries a "
        "task again only after errors that time may heal; after any other it fails at once (`airflow_mlops.pipelines.retry`).",
        table(["error", "means", "tried again", "what to do"], [_row(error) for error in errors()]),
    )


def errors() -> list[type[Exception]]:
    """Return the errors of the package, in the order of its module."""
    return [
        value for value in vars(exceptions).values()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == exceptions.__name__
    ]  # fmt: skip


def _row(error: type[Exception]) -> tuple[str, str, str, str]:
    text = " ".join(parse(error).text.split())
    match = _PARTS.fullmatch(text)
    if match is None:
        raise ValueError(f"{error.__name__} does not say what to do: {text}")
    action = match["action"]
    again = "yes" if issubclass(error, exceptions.RETRYABLE) else "no"
    return f"`{error.__name__}`", match["meaning"], again, action[0].upper() + action[1:]
