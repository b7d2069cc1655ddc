"""The gate ``fairness``: how far groups of people are apart."""

from __future__ import annotations

from airflow_mlops.learning.statistics import slices
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, GateOutcome


def judge(evidence: Evidence) -> GateOutcome:
    """Compare the groups."""
    gate = evidence.gates.fairness
    return GateOutcome() if gate is None else GateOutcome(*slices.gaps(gate, evidence.judged))
