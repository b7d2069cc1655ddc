"""Asynchronous waits."""

from __future__ import annotations
