"""Numbers of things in words, for messages, reasons and pages."""

from __future__ import annotations


def counted(count: int, what: str, several: str | None = None) -> str:
    """Return a number and what it counts, such as ``1 row``, ``1,200 rows`` and ``2 classes``.

    :param what: one of them.
    :param several: more than one, or none, of them; None adds an ``s`` to one.
    """
    return f"{count:,} {what if count == 1 else several or f'{what}s'}"
