"""How deep JSON is nested, seen before it is parsed: a parser that calls itself for each level overflows the stack, and the process dies."""

from __future__ import annotations

DEEPEST = 100
"""Brackets that may be open at a time. Arrow's parser bears some thousands; a Delta table keeps 40."""

_KEPT = b'[]{}"\n'
_OTHERS = bytes(sorted(set(range(256)) - set(_KEPT)))
_STEPS = bytes({ord("["): 1, ord("{"): 1, ord("]"): 255, ord("}"): 255}.get(byte, 0) for byte in range(256))


def too_deep(block: bytes) -> int | None:
    """Return on which line of a block, from 0, more than :data:`DEEPEST` brackets are open; None if nowhere.

    Lines do not begin anew, because Arrow's parser takes an object that goes on after a line end.

    >>> too_deep(b'{"a": "[[", "b": [[1], [2]]}'), too_deep(b'{"a": 1}\\n{"a":' + b"[" * 100)
    (None, 1)
    """
    import numpy as np

    text = block.replace(b"\\\\", b"").replace(b'\\"', b"")
    # To leave out two quotes side by side changes nothing about what is within quotes, and leaves few of them.
    marks = text.translate(None, _OTHERS).replace(b'""', b"")
    brackets = b"".join(marks.split(b'"')[::2])
    depth = np.cumsum(np.frombuffer(brackets.translate(_STEPS), np.int8), dtype=np.int64)
    beyond = np.flatnonzero(depth > DEEPEST)
    return brackets.count(b"\n", 0, int(beyond[0])) if beyond.size else None
