"""Facts: how far a partition has drifted."""

from __future__ import annotations

from airflow_mlops.domain.checks import Check, Fact


class DriftReport(Fact):
    """Drift of one partition from what the champion was trained on.

    :param overall: the share of drifted columns.
    :param columns: how far each is from what it was; FAIL means that it drifted.
    """

    overall: Check
    columns: tuple[Check, ...] = ()
