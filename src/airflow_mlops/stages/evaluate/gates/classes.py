"""The gate ``classes``: classes that come from the data, and are not the champion's."""

from __future__ import annotations

from airflow_mlops.domain.policies import gates_data
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, GateOutcome


def judge(evidence: Evidence) -> GateOutcome:
    """Compare the classes of candidate and champion, where nobody has named them."""
    candidate, rival = evidence.candidate, evidence.rival
    if rival is None or not rival.classes or candidate.classes_named:
        return GateOutcome()
    if set(candidate.classes) == set(rival.classes):
        return GateOutcome()
    return GateOutcome([gates_data.classes(candidate.classes, rival.classes)])
