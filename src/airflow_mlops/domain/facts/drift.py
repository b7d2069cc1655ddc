"""The fact of drift: how far a partition is from the data that the champion was trained on."""

from __future__ import annotations

from airflow_mlops.domain.checks import Check, Fact


class DriftReport(Fact):
    """Drift of one partition from what the champion was trained on.

    :param overall: the check on the share of drifted columns.
    :param columns: one check a column, with its distance from the training data; FAIL means that the column drifted.
    """

    overall: Check
    columns: tuple[Check, ...] = ()
