"""The streams of the benchmark: half of them to choose defaults by, half to be looked at once, when they are chosen."""

from __future__ import annotations

from functools import partial

from benchmarks.streams import kinds
from benchmarks.streams.flights import flights
from benchmarks.streams.kinds import Stream

LENGTHS = (12, 24, 48)
"""Partitions of a stream, in months; of the flights it is parts of one year."""
MOST_ROWS = 20_000
"""Rows of a stream."""
SEEDS = {False: 1, True: 2013}
"""Seed of the streams to choose by, and of those that are held out."""
_REGRESSION = "regression"

STREAMS = (
    Stream("quiet", kinds.quiet),
    Stream("jumps", kinds.jumps, (1 / 3, 2 / 3)),
    Stream("slow", kinds.slow, None, task=_REGRESSION),
    Stream("seasons", partial(kinds.seasons, years=2), None, task=_REGRESSION),
    Stream("broken", kinds.broken, (0.4, 0.7)),
    Stream("calibration", kinds.calibration_decays, None),
    Stream("few rows", kinds.jump, (0.5,), rows=60),
    Stream("covariates", kinds.covariates, held_out=True),
    Stream("recurring", kinds.recurring, (0.25, 0.5, 0.75), held_out=True),
    Stream("base rate", kinds.base_rate, (0.5,), held_out=True),
    Stream("late labels", kinds.late, (0.5,), held_out=True, spec={"labels": {"delay": "P35D"}}),
    Stream("heavy tails", kinds.heavy, (0.5,), held_out=True, task=_REGRESSION),
    Stream("three classes", kinds.three, (0.5,), held_out=True),
    Stream("flights", flights, None, held_out=True),
)
