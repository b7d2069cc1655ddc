"""The gate ``versus_champion``: better than the champion on the same rows."""

from __future__ import annotations

from dataclasses import replace

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.policies.gates import Comparison, nothing_new, versus_champion
from airflow_mlops.learning.statistics import paired
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, GateOutcome
from airflow_mlops.stages.evaluate.rescue import rescued


def judge(evidence: Evidence) -> GateOutcome:
    """Compare the candidate with the champion, row by row."""
    gate, best, judged, rival = (
        evidence.gates.versus_champion,
        evidence.candidate,
        evidence.judged,
        evidence.rival,
    )
    if gate is None:
        return GateOutcome()
    metric = best.metric
    if rival and rival.ref.digest == best.digest:
        return GateOutcome([nothing_new(metric, gate.margin, rival.ref.version)])
    comparison = Comparison(evidence.metrics[metric], None, problem=rival.problem if rival else "")
    if rival and rival.predicted is not None:
        comparison = paired.difference(
            judged.truth,
            judged.predicted,
            rival.predicted,
            metric,
            blocks=judged.blocks,
            confidence=gate.confidence,
            test=gate.test,
            rules=(judged.rule, rival.rule),
            weights=judged.weights,
        )
        comparison = replace(comparison, problem=rival.problem or comparison.problem)
    n, has_champion = judged.truth.size, rival is not None
    check = versus_champion(metric, comparison, gate.margin, n, has_champion=has_champion)
    rescue = rescued(evidence, comparison) if check.verdict is not Verdict.PASS else None
    if rescue is None:
        return GateOutcome([check])
    # That it is better beyond chance need not be shown then.
    return GateOutcome([rescue] if rescue.verdict is Verdict.PASS else [check, rescue])
