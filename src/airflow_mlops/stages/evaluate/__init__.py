"""Evaluate: judge candidates beside the champion by the gates."""

from __future__ import annotations
