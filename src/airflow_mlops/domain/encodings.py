"""Which of the codecs that Python has are encodings of text in files."""

from __future__ import annotations

import codecs

_OF_NO_FILE = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape"})
"""Codecs from text to bytes that stand for host names or Python's source code; they would change what a file says."""


def is_encoding(name: str) -> bool:
    """Tell whether files of text may be written in a codec of this name.

    >>> is_encoding("cp1252"), is_encoding("rot13"), is_encoding("unicode_escape"), is_encoding("utf9")
    (True, False, False, False)
    """
    try:
        # Codecs from bytes to bytes, such as base64, have names too, but encode no text.
        "a".encode(name)
        return codecs.lookup(name).name not in _OF_NO_FILE
    except (LookupError, ValueError):
        return False
