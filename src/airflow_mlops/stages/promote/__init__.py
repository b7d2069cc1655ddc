"""Promote: move the champion alias, and take a move back."""

from __future__ import annotations
