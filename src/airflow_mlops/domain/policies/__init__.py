"""Decisions: pure functions of facts and of the spec."""

from __future__ import annotations
