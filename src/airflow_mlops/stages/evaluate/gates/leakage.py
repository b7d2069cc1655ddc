"""The gates ``leakage.rows`` and ``leakage.features``: no row was trained on, no feature gives the target away."""

from __future__ import annotations

from airflow_mlops.domain.policies import gates_data
from airflow_mlops.learning.labels import groups
from airflow_mlops.learning.models import pipeline
from airflow_mlops.stages.evaluate import leakage
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, GateOutcome


def rows(evidence: Evidence) -> GateOutcome:
    """Return the proof that no row of the holdout is among those that the candidate learned from."""
    return GateOutcome([evidence.untouched])


def features(evidence: Evidence) -> GateOutcome:
    """Look for a feature that predicts the target by itself."""
    bound, best, truth = evidence.gates.leakage, evidence.candidate, evidence.judged.truth
    if bound is None:
        return GateOutcome()
    taken, predicted = pipeline.features_of(evidence.model), evidence.judged.predicted
    codes = groups.codes_of(evidence.judged.rows, best.groups)
    if predicted.ndim == 2:
        scores = leakage.alone_of_many(evidence.frame, taken, truth, predicted.shape[1], codes)
    else:
        scores = leakage.alone(evidence.frame, taken, truth, best.task, codes)
    measure = "ROC AUC" if best.task == "classification" else "R2"
    return GateOutcome([gates_data.leakage(scores, bound, measure, truth.size)])
