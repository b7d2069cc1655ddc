"""The retrain policy: whether to train at a partition, as a pure function of recorded facts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.policies import retraining_holds, retraining_rules

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.retraining import Known
    from airflow_mlops.domain.spec.retrain import Retrain


class PolicyAnswer(NamedTuple):
    """Whether to retrain, every rule, and one sentence that names why or why not."""

    retrain: bool
    checks: tuple[Check, ...]
    reason: str


def retrain(policy: Retrain, known: Known) -> PolicyAnswer:
    """Decide whether to retrain; FAIL of a rule means that it asks for it, FAIL of a hold that it forbids it.

    A first model and a request are not held back, except that a first model waits for enough data. Where a person is to
    decide, the answer is no, and :func:`~airflow_mlops.domain.facts.retraining.suggested` tells it apart.
    """
    certain = (retraining_rules.first_model(known), retraining_rules.requested(known))
    lasting = retraining_rules.lasting(policy, known)
    aged = (
        retraining_rules.every(policy, known),
        retraining_rules.cron(policy, known),
        retraining_rules.rows(policy, known),
    )
    automatic = (*(each.check for each in lasting), *aged)
    holding = (
        retraining_holds.cooldown(policy, known),
        retraining_holds.incident(policy, known, lasting, aged=_failed(aged)),
        retraining_holds.budget(policy, known),
        retraining_holds.new_data(policy, known),
        retraining_holds.enough_data(known),
    )
    now, later, held = _failed(certain), _failed(automatic), _failed(holding)
    mode = retraining_holds.mode(policy.mode, due=bool(later and not now and not held))
    checks = (*certain, *automatic, *holding, mode)
    asked = _told((*now, *later))
    if known.force:
        return PolicyAnswer(True, checks, asked)
    if asked and known.shortage is not None:
        return PolicyAnswer(False, checks, f"too little data, though asked for ({asked}): {known.shortage}")
    if later and not now and (held or mode.verdict is not Verdict.PASS):
        return PolicyAnswer(False, checks, f"{_told(held or (mode,))}, though {asked}")
    if asked:
        return PolicyAnswer(True, checks, asked)
    quiet = _told(each for each in automatic if each.expected != retraining_rules.OFF)
    return PolicyAnswer(False, checks, f"no rule asks for it: {quiet or 'the policy has none'}")


def _failed(checks: Iterable[Check]) -> tuple[Check, ...]:
    return tuple(check for check in checks if check.verdict is Verdict.FAIL)


def _told(checks: Iterable[Check]) -> str:
    return "; ".join(f"{check.name.removeprefix('retrain.')}: {check.reason}" for check in checks)
