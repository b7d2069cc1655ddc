"""The gate ``floor``: metrics that must be reached."""

from __future__ import annotations

from airflow_mlops.domain.facts.recipe import LEAST_ROWS
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.domain.policies.gates import floor
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, GateOutcome


def judge(evidence: Evidence) -> GateOutcome:
    """Hold each metric to its floor."""
    metrics, intervals, n = evidence.metrics, evidence.intervals, evidence.judged.truth.size
    return GateOutcome(
        [
            floor(
                name,
                metrics[name],
                bound,
                metric_of(name).greater_is_better,
                n,
                intervals.get(name),
                LEAST_ROWS,
            )
            for name, bound in evidence.gates.floor.items()
        ]
    )
