"""The gate ``classes``: those that come from the data and are not the champion's, and what each of them must reach."""

from __future__ import annotations

from airflow_mlops.domain.policies import gates_classes, gates_data
from airflow_mlops.learning.statistics import by_class
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, GateOutcome


def judge(evidence: Evidence) -> GateOutcome:
    """Compare the classes of candidate and champion, where nobody has named them."""
    candidate, rival = evidence.candidate, evidence.rival
    if rival is None or not rival.classes or candidate.classes_named:
        return GateOutcome()
    if set(candidate.classes) == set(rival.classes):
        return GateOutcome()
    return GateOutcome([gates_data.classes(candidate.classes, rival.classes)])


def of_each(evidence: Evidence) -> GateOutcome:
    """Hold each class to its floors, and to what it is under the champion."""
    gate, judged, rival = evidence.gates.classes, evidence.judged, evidence.rival
    if gate is None:
        return GateOutcome()
    checks = by_class.floors(gate, judged, evidence.classes)
    if rival is None or rival.predicted is None or rival.problem:
        checks += [
            gates_classes.not_compared(measure, rival.problem if rival else "") for measure in gate.loss
        ]
    else:
        checks += by_class.losses(gate, judged, rival.predicted, evidence.classes, rival.rule)
    return GateOutcome(checks)
