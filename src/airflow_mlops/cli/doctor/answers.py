"""What a web server says to anybody, without a login."""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

_SECONDS = 10


class WebAnswer(NamedTuple):
    """An answer.

    :param date: what the server's clock shows; None if it does not tell.
    """

    status: int
    text: str
    date: datetime | None


def ask(url: str) -> WebAnswer | None:
    """Return the answer of a server, be it a refusal; None if there is none.

    :param url: begins with ``http://`` or ``https://``.
    """
    try:
        with urlopen(url, timeout=_SECONDS) as reply:
            return WebAnswer(
                reply.status, reply.read(200).decode(errors="replace").strip(), _date(reply.headers)
            )
    except HTTPError as error:
        return WebAnswer(error.code, "", _date(error.headers))
    except (URLError, OSError, ValueError):
        return None


def _date(headers: object) -> datetime | None:
    text = getattr(headers, "get", lambda _: None)("Date")
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
