"""Rescue: measure whether a candidate is the better bet than a champion that fails."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.policies.gates_rescue import Losses, rescue
from airflow_mlops.learning.statistics import measures, paired

if TYPE_CHECKING:
    from airflow_mlops.domain.policies.gates import Comparison
    from airflow_mlops.stages.evaluate.gates.evidence import Evidence

_PROPER = {"classification": "log_loss", "regression": "rmse"}


def rescued(evidence: Evidence, comparison: Comparison) -> Check | None:
    """Return the check of the rule ``rescue``; None if the spec leaves it out, or if the champion does not fail.

    :param comparison: the candidate with the champion; its interval is estimated anew, at the rule's confidence.
    """
    gate, rival = evidence.gates.versus_champion, evidence.rival
    if gate is None or gate.rescue is None or not evidence.failing or rival is None:
        return None
    judged, best, metric = evidence.judged, evidence.candidate, evidence.compared_by
    proper, theirs = _PROPER[best.task], None
    if rival.predicted is not None:
        again = paired.difference(
            judged.truth,
            judged.predicted,
            rival.predicted,
            metric,
            blocks=judged.blocks,
            confidence=gate.rescue.confidence,
            test="bootstrap" if best.keeps else gate.test,
            rules=(judged.rule, rival.rule),
            weights=judged.weights,
        )
        comparison = replace(again, problem=rival.problem or again.problem)
        theirs = measures.measure(proper, judged.truth, rival.predicted, weights=judged.weights)
    return rescue(
        metric,
        comparison,
        Losses(proper, evidence.metrics[proper], theirs, _constant(evidence, proper)),
        margin=gate.rescue.margin,
        confidence=gate.rescue.confidence,
        failing=evidence.failing,
        n=judged.truth.size,
    )


def _constant(evidence: Evidence, proper: str) -> float | None:
    learned, judged = evidence.learned(), evidence.judged
    if learned is None:
        return None
    return measures.measure(proper, judged.truth, learned.constant(judged.truth.size), weights=judged.weights)
