"""Train: split, search, fit, log and register a candidate."""

from __future__ import annotations
