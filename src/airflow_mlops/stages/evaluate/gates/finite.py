"""The gate that replaces those that measure predictions if some predictions are not finite."""

from __future__ import annotations

from airflow_mlops.domain.policies import gates_data
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, GateOutcome


def judge(evidence: Evidence) -> GateOutcome:
    """Refuse predictions that are not finite."""
    return GateOutcome([gates_data.finite(evidence.not_finite, evidence.judged.truth.size)])
