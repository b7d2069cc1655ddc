"""The gate ``slices``: floors within parts of the data."""

from __future__ import annotations

from airflow_mlops.learning.statistics import slices
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, Outcome


def judge(evidence: Evidence) -> Outcome:
    """Hold each slice to its floors."""
    gate = evidence.gates.slices
    return Outcome() if gate is None else Outcome(*slices.floors(gate, evidence.judged))
