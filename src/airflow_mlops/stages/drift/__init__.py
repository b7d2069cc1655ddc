"""Drift: how far a partition is from what the champion has learned from."""

from __future__ import annotations
