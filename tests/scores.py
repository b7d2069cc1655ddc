"""Builders of labels and predictions."""

from __future__ import annotations

import numpy as np

DAY = 86_400


def make_scores(rows: int = 2000, signal: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, a quarter of them 1, and probabilities that follow from them."""
    random = np.random.default_rng(seed)
    truth = (random.random(rows) < 0.25).astype(int)
    return truth, 1 / (1 + np.exp(-(signal * truth - 1.2 + random.normal(0, 1, rows))))


def make_times(rows: int, days: int = 28) -> np.ndarray:
    """Return times that are spread evenly over the first days of March."""
    seconds = np.linspace(0, days * DAY, rows, endpoint=False).astype("timedelta64[s]")
    return np.datetime64("2013-03-01", "us") + seconds
