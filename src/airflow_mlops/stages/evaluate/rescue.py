"""Rescue: measure whether a candidate is the better bet than a champion that fails, or that has learned from much less."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.policies.gates_rescue import FALLBACK, MORE_DATA, NAME, Losses, rescue
from airflow_mlops.domain.spec.gates import VersusChampion
from airflow_mlops.domain.spec.rescue import Rescue
from airflow_mlops.learning.statistics import measures, paired

if TYPE_CHECKING:
    from airflow_mlops.domain.policies.gates import Comparison
    from airflow_mlops.stages.evaluate.gates.evidence import Evidence
    from airflow_mlops.stages.evaluate.rival import Rival


def rescued(evidence: Evidence, comparison: Comparison) -> Check | None:
    """Return the check of the rule ``rescue``, or ``more_data``; None if the spec leaves it out, or if it does not apply.

    :param comparison: the candidate with the champion; its interval is estimated anew, at the rule's confidence.
    """
    gate, rival = evidence.gates.versus_champion, evidence.rival
    if gate is None or rival is None:
        return None
    if gate.rescue is not None and evidence.failing:
        why = f"the champion fails ({evidence.failing.rstrip('.')})"
        return _better_bet(evidence, gate, comparison, rival, NAME, why)
    times = _times(evidence, rival)
    # A margin says how much better than the champion is worth a promotion, whatever was learned from.
    if gate.more_data is None or gate.margin > 0 or times is None or times < gate.more_data:
        return None
    why = f"it has learned from {times:.1f} times as long as the champion, whose rows are among them"
    check = _better_bet(evidence, gate, comparison, rival, MORE_DATA, why)
    # Otherwise the champion, which does well, is compared as ever.
    return check if check.verdict is Verdict.PASS else None


def stands_in(evidence: Evidence, comparison: Comparison) -> Check:
    """Return the check of a constant that is to take the place of a champion that fails: it has less loss, in the proper score.

    It ranks no row before another, so that the training metric and the rule's margin, in units of that, say nothing of it.
    """
    gate, rival = evidence.gates.versus_champion or VersusChampion(), evidence.rival
    if rival is None or not evidence.failing:
        reason = "a constant stands in for a champion that fails, and none is known to"
        return Check(name=FALLBACK, verdict=Verdict.FAIL, expected="a champion that fails", reason=reason)
    why = f"fallback to a constant, as nothing else passes and the champion fails ({evidence.failing.rstrip('.')})"
    return _better_bet(evidence, gate, comparison, rival, FALLBACK, why)


def _times(evidence: Evidence, rival: Rival) -> float | None:
    """Return how many times as long as the champion the candidate has learned from; None if it has left out any rows of those."""
    ours, theirs = evidence.candidate.split, rival.split
    if theirs is None or evidence.candidate.keeps or ours.start > theirs.start or theirs.cut <= theirs.start:
        return None
    return (ours.cut - ours.start) / (theirs.cut - theirs.start)


def _better_bet(
    evidence: Evidence, gate: VersusChampion, comparison: Comparison, rival: Rival, name: str, because: str
) -> Check:
    rule = gate.rescue or Rescue()
    judged, best, metric = evidence.judged, evidence.candidate, evidence.compared_by
    proper, theirs = evidence.proper, None
    if rival.predicted is not None:
        again = paired.difference(
            judged.truth,
            judged.predicted,
            rival.predicted,
            metric,
            blocks=judged.blocks,
            confidence=rule.confidence,
            test=evidence.test(gate),
            rules=(judged.rule, rival.rule),
            weights=judged.weights,
        )
        comparison = replace(again, problem=rival.problem or again.problem)
        theirs = measures.measure(proper, judged.truth, rival.predicted, weights=judged.weights)
    return rescue(
        metric,
        comparison,
        Losses(proper, evidence.metrics[proper], theirs, _constant(evidence, proper)),
        margin=None if best.constant else rule.margin,
        confidence=rule.confidence,
        because=because,
        name=name,
        n=judged.truth.size,
    )


def _constant(evidence: Evidence, proper: str) -> float | None:
    if evidence.candidate.constant:
        return math.inf
    learned, judged = evidence.learned(), evidence.judged
    if learned is None:
        return None
    return measures.measure(proper, judged.truth, learned.constant(judged.truth.size), weights=judged.weights)
