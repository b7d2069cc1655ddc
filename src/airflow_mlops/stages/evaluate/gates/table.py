"""The table of gates: a new one is a file beside this one, and a line here."""

from __future__ import annotations

from airflow_mlops.domain.checks import Check
from airflow_mlops.stages.evaluate.gates import (
    calibration,
    classes,
    fairness,
    finite,
    floor,
    intervals,
    leakage,
    serving,
    slices,
    stability,
    versus_champion,
)
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, Gate

OF_PREDICTIONS: tuple[Gate, ...] = (
    floor.judge,
    versus_champion.judge,
    slices.judge,
    classes.of_each,
    calibration.judge,
    intervals.judge,
    fairness.judge,
    stability.judge,
)
"""Gates that measure what the candidate predicts, in the order of their checks."""
OF_THE_MODEL: tuple[Gate, ...] = (
    leakage.rows,
    leakage.features,
    classes.judge,
    # Last, as it waits for the fresh process.
    serving.judge,
)
"""Gates that also judge a candidate whose predictions cannot be measured."""


def judge(evidence: Evidence) -> tuple[tuple[Check, ...], str]:
    """Return the checks of all gates, and the parts of the data that are too small to be judged, in words."""
    measured = (finite.judge,) if evidence.not_finite else OF_PREDICTIONS
    outcomes = [gate(evidence) for gate in (*measured, *OF_THE_MODEL)]
    checks = tuple(check for outcome in outcomes for check in outcome.checks)
    return checks, ", ".join(outcome.unjudged for outcome in outcomes if outcome.unjudged)
