"""The gate ``versus_champion``: better than the champion on the same rows."""

from __future__ import annotations

from dataclasses import replace

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.policies.gates import Comparison, nothing_new, versus_champion
from airflow_mlops.domain.policies.gates_evidence import add_up, evidence_check
from airflow_mlops.domain.spec.gates import VersusChampion
from airflow_mlops.learning.statistics import paired
from airflow_mlops.learning.statistics.sequential import needed
from airflow_mlops.stages.evaluate.adding_up import AddedUp, added_up
from airflow_mlops.stages.evaluate.gates.evidence import Evidence, GateOutcome
from airflow_mlops.stages.evaluate.rescue import rescued, stands_in


def judge(evidence: Evidence) -> GateOutcome:
    """Compare the candidate with the champion, row by row; where that does not decide, ask the other rules of the spec."""
    gate, best, rival = evidence.gates.versus_champion, evidence.candidate, evidence.rival
    if gate is None:
        return GateOutcome()
    metric, margin = evidence.compared_by, evidence.margin
    if rival and rival.ref.digest == best.digest:
        return GateOutcome([nothing_new(metric, margin, rival.ref.version)])
    comparison = _compared(evidence, gate)
    if best.constant:
        return GateOutcome([stands_in(evidence, comparison)])
    n, has_champion = evidence.judged.truth.size, rival is not None
    check = versus_champion(metric, comparison, margin, n, has_champion=has_champion)
    sequence = added_up(evidence, rival) if gate.evidence and rival else None
    if sequence is not None:
        least = needed(gate.confidence)
        check = add_up(check, sequence.evidence, sequence.looks, least, margin, first=sequence.first)
    rescue = rescued(evidence, comparison) if check.verdict is not Verdict.PASS else None
    # That it is better beyond chance need not be shown then.
    saved = rescue is not None and rescue.verdict is Verdict.PASS
    checks = [rescue] if saved else [check, rescue]
    return GateOutcome([*filter(None, checks), *_handed_on(gate, sequence, saved, check)])


def _compared(evidence: Evidence, gate: VersusChampion) -> Comparison:
    metric, judged, rival = evidence.compared_by, evidence.judged, evidence.rival
    comparison = Comparison(evidence.metrics[metric], None, problem=rival.problem if rival else "")
    if rival is None or rival.predicted is None:
        return comparison
    comparison = paired.difference(
        judged.truth,
        judged.predicted,
        rival.predicted,
        metric,
        blocks=judged.blocks,
        # Half of the error is that of the evidence.
        confidence=(1 + gate.confidence) / 2 if gate.evidence else gate.confidence,
        test=evidence.test(gate),
        rules=(judged.rule, rival.rule),
        weights=judged.weights,
    )
    return replace(comparison, problem=rival.problem or comparison.problem)


def _handed_on(gate: VersusChampion, sequence: AddedUp | None, saved: bool, check: Check) -> list[Check]:
    if sequence is None:
        return []
    decided = saved or check.verdict is Verdict.PASS
    least = needed(gate.confidence)
    return [evidence_check(sequence.evidence, sequence.looks, least, sequence.score, decided=decided)]
