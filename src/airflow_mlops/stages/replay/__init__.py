"""Replay: the loop over history, for several policies side by side."""

from __future__ import annotations
