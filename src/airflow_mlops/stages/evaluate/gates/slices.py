"""The gate ``slices``: floors within parts of the data."""

from __future__ import annotations

from airflow_mlops.learning.statistics import slices
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, GateOutcome


def judge(evidence: Evidence) -> GateOutcome:
    """Hold each slice to its floors."""
    gate = evidence.gates.slices
    return GateOutcome() if gate is None else GateOutcome(*slices.floors(gate, evidence.judged))
