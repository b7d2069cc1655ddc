"""Where data comes from: SQL, files, Delta tables, Python functions."""

from __future__ import annotations
