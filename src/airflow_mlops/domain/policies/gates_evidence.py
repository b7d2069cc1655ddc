"""Evidence that adds up: the comparison with the champion over several partitions, and candidates that are judged again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.evidence import EVIDENCE, EvidenceSoFar, judged_again
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.facts.retraining import JUDGED_AGAIN, Situation, trained
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.policies.gates import signed
from airflow_mlops.domain.policies.gates_rescue import NAME as RESCUE

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import PromotionDecision

PARTITIONS = 6
"""For how many partitions after its training a candidate is judged again."""
_VERSUS = "versus_champion."


def add_up(check: Check, evidence: float, looks: int, needed: float, margin: float, *, first: bool) -> Check:
    """Return what follows for a comparison with the champion from evidence of this partition and those before.

    The interval of one look counts at the first one only, as among many looks one is lucky. Later the evidence has to reach
    what is needed, and the candidate to measure better by more than ``margin`` itself.

    :param check: of this look alone, as :func:`airflow_mlops.domain.policies.gates.versus_champion` judges it.
    :param needed: evidence that promotes.
    :param margin: least improvement that is worth a promotion, in units of the metric.
    :param first: whether no earlier look counts in the evidence.
    """
    gain = improvement(check)
    if check.verdict is Verdict.FAIL or gain is None or (check.verdict is Verdict.PASS and first):
        return check
    if evidence >= needed and gain > margin:
        reason = (
            f"improvement {signed(gain)} is above {margin:g}, and evidence has added up over {_looks(looks)}"
        )
        return check.model_copy(update={"verdict": Verdict.PASS, "reason": reason})
    if check.verdict is Verdict.INCONCLUSIVE:
        return check
    reason = f"{check.reason}, which counts at the first look alone: it may be chance"
    return check.model_copy(update={"verdict": Verdict.INCONCLUSIVE, "reason": reason})


def evidence_check(evidence: float, looks: int, needed: float, score: str, *, decided: bool) -> Check:
    """Return the check that hands evidence on to the next partition.

    :param score: that is compared, in words.
    :param decided: whether the candidate passes by another rule, so that evidence need not.
    """
    enough = evidence >= needed
    reason = (
        f"{evidence:.3g} of {needed:g} needed, after {_looks(looks)}: better so far in {score}, which says nothing of "
        "later partitions"
        if evidence > 1
        else f"{evidence:.3g} of {needed:g} needed, after {_looks(looks)}: not better so far in {score}"
    )
    return Check(
        name=EVIDENCE,
        verdict=Verdict.PASS if enough or decided else Verdict.INCONCLUSIVE,
        expected=f">= {needed:g}",
        observed=evidence,
        n=looks,
        reason=f"{reason}; another rule has decided" if decided and not enough else reason,
    )


def _looks(looks: int) -> str:
    return f"{looks} partition{'s' * (looks != 1)}"


def improvement(check: Check) -> float | None:
    """Return how much better the candidate measures in a comparison with the champion; None if that was not measured."""
    if check.observed is None or check.baseline is None:
        return None
    gain = check.observed - check.baseline
    return gain if metric_of(check.name.removeprefix(_VERSUS)).greater_is_better else -gain


def so_far(
    decisions: Sequence[PromotionDecision], champion: str, grain: str, delay: timedelta
) -> EvidenceSoFar | None:
    """Return what earlier decisions have gathered against a champion; None if there is nothing yet.

    :param decisions: on earlier partitions.
    :param champion: its version.
    :param delay: how long after its event time a label is known: rows of that time before the end of a decision's partition
        count in it.
    """
    gathered = [
        (decision.partition, check)
        for decision in decisions
        if decision.before == champion and decision.action is not Action.RECORDED
        for check in decision.checks
        if check.name == EVIDENCE and check.observed is not None and check.n is not None
    ]
    if not gathered:
        return None
    partition, check = max(gathered, key=lambda pair: pair[0])
    until = Partition.parse(partition, grain).end - delay
    return EvidenceSoFar(value=check.observed or 0.0, looks=check.n or 0, until=until)


def again(situation: Situation, champion: str | None, margin: float) -> tuple[str | None, Check]:
    """Return the version that is to be judged again at a partition, None for none, and the check that says why.

    It is the candidate that was trained last, if all that has kept it from becoming champion is that its improvement may be
    chance, for :data:`PARTITIONS` partitions after its training, and as long as the champion is the same.

    :param champion: the champion's version; None if there is none.
    :param margin: least improvement that is worth a promotion, in units of the training metric.
    """
    judged = [
        decision
        for decision in situation.before
        if (trained(decision) or judged_again(decision.checks)) and decision.action is not Action.FAILED
    ]
    last = max(judged, key=lambda decision: decision.partition, default=None)
    if last is None or last.candidate is None:
        return None, _rule(Verdict.PASS, "no candidate was judged before")
    name = f"version {last.candidate}"
    if last.action is not Action.REFUSED or last.approval is not None:
        return None, _rule(Verdict.PASS, f"{name} was {last.action} at {last.partition}")
    if champion is None or last.before != champion:
        return None, _rule(Verdict.PASS, f"{name} was judged beside another champion")
    if not _by_a_hair(last, margin):
        return None, _rule(Verdict.PASS, f"{name} was refused at {last.partition} for more than chance")
    first = min(decision.partition for decision in judged if decision.candidate == last.candidate)
    since = situation.since(first) or 0
    if since > PARTITIONS:
        return None, _rule(
            Verdict.PASS, f"{name} was trained {since} partitions ago, {PARTITIONS} are waited for"
        )
    reason = (
        f"{name}, trained at {first}, measured better and may have done so by chance: it is judged on what has become known since "
        f"({since} of {PARTITIONS} partitions)"
    )
    return last.candidate, _rule(Verdict.FAIL, reason)


def _rule(verdict: Verdict, reason: str) -> Check:
    return Check(
        name=JUDGED_AGAIN,
        verdict=verdict,
        expected="no candidate that only chance speaks against",
        reason=reason,
    )


def _by_a_hair(decision: PromotionDecision, margin: float) -> bool:
    """Tell whether a candidate measured better than the champion, and only that this may be chance speaks against it."""
    against = [check for check in decision.checks if check.verdict is not Verdict.PASS]
    versus = [check for check in against if check.name.startswith(_VERSUS)]
    others = [check for check in against if check not in versus and check.name not in (EVIDENCE, RESCUE)]
    if others or len(versus) != 1 or versus[0].verdict is not Verdict.INCONCLUSIVE:
        return False
    gain = improvement(versus[0])
    return gain is not None and gain > margin
