"""Summaries of columns that can be merged, and the distance of two."""

from __future__ import annotations
