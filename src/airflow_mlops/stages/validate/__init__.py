"""Validate: expectations, prechecks, skew."""

from __future__ import annotations
