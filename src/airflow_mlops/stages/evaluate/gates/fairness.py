"""The gate ``fairness``: how far groups of people are apart."""

from __future__ import annotations

from airflow_mlops.learning.statistics import slices
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, Outcome


def judge(evidence: Evidence) -> Outcome:
    """Compare the groups."""
    gate = evidence.gates.fairness
    return Outcome() if gate is None else Outcome(*slices.gaps(gate, evidence.judged))
