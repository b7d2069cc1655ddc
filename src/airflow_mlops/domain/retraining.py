"""The retrain policy: whether to train at a partition, as a pure function of recorded facts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain import retraining_holds as holds
from airflow_mlops.domain import retraining_rules as rules
from airflow_mlops.domain.checks import Check, Verdict

if TYPE_CHECKING:
    from airflow_mlops.domain.retraining_facts import Known
    from airflow_mlops.domain.spec_retrain import Retrain


class Answer(NamedTuple):
    """Whether to retrain, every rule, and one sentence that names why or why not."""

    retrain: bool
    checks: tuple[Check, ...]
    reason: str


def retrain(policy: Retrain, known: Known) -> Answer:
    """Decide whether to retrain; FAIL of a rule means that it asks for it, FAIL of a hold that it forbids it.

    A first model and a request are not held back, except that a first model waits for enough data. Where a person is to
    decide, the answer is no, and :func:`~airflow_mlops.domain.retraining_facts.suggested` tells it apart.
    """
    certain = (rules.first_model(known), rules.requested(known))
    lasting = rules.lasting(policy, known)
    aged = (rules.every(policy, known), rules.cron(policy, known), rules.rows(policy, known))
    automatic = (*(each.check for each in lasting), *aged)
    holding = (
        holds.cooldown(policy, known),
        holds.incident(policy, known, lasting, aged=_failed(aged)),
        holds.budget(policy, known),
        holds.new_data(policy, known),
        holds.enough_data(known),
    )
    now, later, held = _failed(certain), _failed(automatic), _failed(holding)
    mode = holds.mode(policy.mode, due=bool(later and not now and not held))
    checks = (*certain, *automatic, *holding, mode)
    asked = _told((*now, *later))
    if known.force:
        return Answer(True, checks, asked)
    if asked and known.shortage is not None:
        return Answer(False, checks, f"too little data, though asked for ({asked}): {known.shortage}")
    if later and not now and (held or mode.verdict is not Verdict.PASS):
        return Answer(False, checks, f"{_told(held or (mode,))}, though {asked}")
    if asked:
        return Answer(True, checks, asked)
    quiet = _told(each for each in automatic if each.expected != rules.OFF)
    return Answer(False, checks, f"no rule asks for it: {quiet or 'the policy has none'}")


def _failed(checks: Iterable[Check]) -> tuple[Check, ...]:
    return tuple(check for check in checks if check.verdict is Verdict.FAIL)


def _told(checks: Iterable[Check]) -> str:
    return "; ".join(f"{check.name.removeprefix('retrain.')}: {check.reason}" for check in checks)
