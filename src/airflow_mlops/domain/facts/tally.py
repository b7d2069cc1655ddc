"""How often a model was to be trained, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.evidence import judged_again
from airflow_mlops.domain.facts.results import Action, PromotionDecision
from airflow_mlops.domain.facts.retraining import ANSWER, HOLDS, JUDGED_AGAIN, trained

_RULE = "retrain."


class TrainingTally(NamedTuple):
    """Numbers of partitions.

    :param asked: a rule asked to train there, or a person.
    :param held: of these, something held that back: a hold of the policy, a person, or too little data.
    :param trained: of these, models were trained, also if that failed.
    :param refused: of these, no candidate became champion, nor challenger.
    :param promoted: of these, one became champion, or did so later, when it was judged again.
    """

    asked: int = 0
    held: int = 0
    trained: int = 0
    refused: int = 0
    promoted: int = 0

    def __str__(self) -> str:
        return (
            f"asked {self.asked}, held back {self.held}, trained {self.trained}, refused {self.refused}, "
            f"promoted {self.promoted}"
        )


def tally(decisions: Iterable[PromotionDecision]) -> TrainingTally:
    """Count what was decided on partitions.

    :param decisions: the latest on each partition, as :func:`airflow_mlops.stores.registry.ledger.attempts` returns them.
    """
    asked = held = ran = refused = promoted = 0
    for decision in decisions:
        if trained(decision):
            ran += 1
            refused += decision.action in (Action.REFUSED, Action.FAILED)
            promoted += decision.action is Action.PROMOTED
        elif judged_again(decision.checks):
            promoted += decision.action is Action.PROMOTED
            continue
        elif asks(decision.checks):
            held += 1
        else:
            continue
        asked += 1
    return TrainingTally(asked, held, ran, refused, promoted)


def asks(checks: Iterable[Check]) -> bool:
    """Tell whether any rule among the checks of a decision asks to train."""
    return any(
        check.name.startswith(_RULE)
        and check.name not in HOLDS
        and check.name not in (ANSWER, JUDGED_AGAIN)
        and check.verdict is Verdict.FAIL
        for check in checks
    )
