"""The table of predictions: the names of its columns."""

from __future__ import annotations

SCORE = "score"
"""Column of predictions: probability of the positive class, or the predicted value."""
