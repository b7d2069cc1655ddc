"""The retrain policy: whether to train at a partition, as a pure function of recorded facts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.policies import retraining_holds, retraining_rules

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.retraining import Situation
    from airflow_mlops.domain.spec.retrain import Retrain


class PolicyAnswer(NamedTuple):
    """The answer of the retrain policy.

    :param retrain: whether to retrain.
    :param checks: the checks of all rules and holds.
    :param reason: one sentence that says why or why not.
    """

    retrain: bool
    checks: tuple[Check, ...]
    reason: str


def retrain(policy: Retrain, situation: Situation) -> PolicyAnswer:
    """Decide whether to retrain.

    FAIL of a rule means that it asks for retraining, FAIL of a hold that it forbids retraining. Holds do not apply to a
    first model and to requests, except that a first model waits for enough data. If a person has to decide, the answer is
    no, and :func:`~airflow_mlops.domain.facts.retraining.suggested` is true of it.
    """
    certain = (retraining_rules.first_model(situation), retraining_rules.requested(situation))
    problems = retraining_rules.lasting_problems(policy, situation)
    aged = (
        retraining_rules.every(policy, situation),
        retraining_rules.cron(policy, situation),
        retraining_rules.growth(policy, situation),
        retraining_rules.rows(policy, situation),
    )
    automatic = (*(problem.check for problem in problems), *aged)
    holding = (
        retraining_holds.cooldown(policy, situation),
        retraining_holds.incident(policy, situation, problems, aged=_failed(aged)),
        retraining_holds.budget(policy, situation),
        retraining_holds.new_data(policy, situation),
        retraining_holds.enough_data(situation),
    )
    now, later, held = _failed(certain), _failed(automatic), _failed(holding)
    mode = retraining_holds.mode(policy.mode, due=bool(later and not now and not held))
    checks = (*certain, *automatic, *holding, mode)
    causes = _reasons((*now, *later))
    if situation.force:
        return PolicyAnswer(True, checks, causes)
    if causes and situation.shortage is not None:
        return PolicyAnswer(
            False, checks, f"too little data, though asked for ({causes}): {situation.shortage}"
        )
    if later and not now and (held or mode.verdict is not Verdict.PASS):
        return PolicyAnswer(False, checks, f"{_reasons(held or (mode,))}, though {causes}")
    if causes:
        return PolicyAnswer(True, checks, causes)
    quiet = _reasons(check for check in automatic if check.expected != retraining_rules.OFF)
    return PolicyAnswer(False, checks, f"no rule asks for it: {quiet or 'the policy has none'}")


def _failed(checks: Iterable[Check]) -> tuple[Check, ...]:
    return tuple(check for check in checks if check.verdict is Verdict.FAIL)


def _reasons(checks: Iterable[Check]) -> str:
    return "; ".join(f"{check.name.removeprefix('retrain.')}: {check.reason}" for check in checks)
