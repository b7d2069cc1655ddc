"""How the bounds of a version's predictions were calibrated."""

from __future__ import annotations

from airflow_mlops.domain.checks import Fact


class CalibratedIntervals(Fact):
    """The bounds of a version's predictions.

    :param coverage: share of the true values that are to lie between them.
    :param method: ``absolute`` or ``quantile``.
    :param rows: number of rows that they were calibrated on.
    :param margin: what calibration adds to either side, in units of the target; below zero it takes away.
    """

    coverage: float
    method: str
    rows: int
    margin: float
