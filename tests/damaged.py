"""Texts in place of the JSON of an object: cut off, of another kind, and nested deeper than Python reads."""

from __future__ import annotations

DAMAGED = ("{", "[]", "7", "null", '{"a": 1}', "[" * 3_000)
