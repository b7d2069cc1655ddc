"""Addresses as people may read them: a URL may hold a password, and messages, logs and pages must not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

# Also a password that is not quoted as it should be, with `@` or `/` in it. Without a colon, what stands before `@` is a
# container or a connection, such as in abfss://container@account, but before a web server it is a token.
_LOGIN = re.compile(r"(?P<scheme>https?://)[^\s/?#@'\"<>:]+@|(?P<any>://)[^\s/?#@:'\"<>]*:[^\s'\"<>]*@", re.I)
_QUERY = re.compile(
    r"(?P<name>[?&;](?:sig|[\w.-]*(?:signature|token|passw|pwd|secret|credential|api_?key|access_?key)[\w.-]*)=)[^\s&;#'\"<>]+",
    re.I,
)


DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""Kinds of databases that MLflow keeps its data in."""


def shown(text: str) -> str:
    """Return an address, or a message that has some, with ``***`` in place of each password and signature."""
    without_logins = _LOGIN.sub(lambda match: f"{match['scheme'] or match['any']}***@", text)
    return _QUERY.sub(lambda match: f"{match['name']}***", without_logins)


def shown_cause(error: Exception) -> Exception | None:
    """Return an error to raise another one from, which logs show too; None if one of its kind of chain tells a secret."""
    return error if all(shown(text) == text for text in _texts(error)) else None


def problem_of(address: str) -> str | None:
    """Return what is wrong with the form of a URL, in words that hold nothing of it; None if nothing is.

    A database may have its host elsewhere, or none; any other address needs one.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return "its host has only one of two brackets"
    try:
        is_no_port = parts.port == 0
    except ValueError:
        is_no_port = True
    if is_no_port:
        return "its port is no whole number from 1 to 65535; a password with a character such as / # ? or @ is quoted, / as %2F"
    kind = parts.scheme.partition("+")[0]
    if kind == "sqlite":
        if parts.path.strip("/") in ("", ":memory:"):
            return "it names no file, and what is kept in memory is lost; write sqlite:////folder/mlflow.db"
    elif kind not in (*DATABASES, "file") and not parts.hostname:
        return "it names no host"
    return None


def _texts(error: BaseException | None) -> Iterator[str]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield str(error)
        error = error.__cause__ or error.__context__
