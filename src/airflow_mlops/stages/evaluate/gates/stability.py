"""The gate ``stability``: as good in each span of the holdout as in all of it."""

from __future__ import annotations

from airflow_mlops.domain.policies import gates_parts
from airflow_mlops.learning.statistics import resampling, slices
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, GateOutcome


def judge(evidence: Evidence) -> GateOutcome:
    """Compare the worst span with the whole."""
    gate, best, judged = evidence.gates.stability, evidence.candidate, evidence.judged
    if gate is None:
        return GateOutcome()
    times = judged.rows[best.dataset.event_time].to_numpy()
    blocks = resampling.blocks(times, gate.by, best.dataset.grain)
    spans = slices.spans(judged, best.metric, blocks, gate.min_rows)
    check = gates_parts.stability(best.metric, evidence.metrics[best.metric], spans, gate.drop, gate.min_rows)
    return GateOutcome([check])
