"""The gates of an evaluation: a file for each, in the order of their table."""

from __future__ import annotations
