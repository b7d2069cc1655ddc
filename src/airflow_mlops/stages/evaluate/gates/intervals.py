"""The gate ``intervals``: as many true values between the bounds of their predictions as were to lie there."""

from __future__ import annotations

from airflow_mlops.domain.facts.recipe import LEAST_ROWS
from airflow_mlops.domain.metrics import COVERAGE
from airflow_mlops.domain.policies.intervals import coverage
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, GateOutcome


def judge(evidence: Evidence) -> GateOutcome:
    """Compare the share of the holdout's values that lie between their bounds with what was asked for."""
    section, tolerance = evidence.candidate.intervals, evidence.gates.intervals
    if section is None or tolerance is None:
        return GateOutcome()
    observed, interval = evidence.metrics.get(COVERAGE), evidence.intervals.get(COVERAGE)
    n = evidence.judged.truth.size
    return GateOutcome([coverage(observed, interval, section.coverage, tolerance, n, LEAST_ROWS)])
