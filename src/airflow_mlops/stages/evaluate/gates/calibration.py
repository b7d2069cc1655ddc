"""The gate ``calibration``: probabilities that mean what they say."""

from __future__ import annotations

from airflow_mlops.domain.policies.gates import calibration
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, GateOutcome


def judge(evidence: Evidence) -> GateOutcome:
    """Bound the calibration error."""
    bound = evidence.gates.calibration
    if bound is None:
        return GateOutcome()
    error = evidence.resampled(["calibration"]).estimate(0)
    interval = error.interval(evidence.confidence, 0, 1)
    return GateOutcome([calibration(error.value, interval, bound, evidence.judged.truth.size)])
