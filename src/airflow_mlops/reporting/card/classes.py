"""What a model card says of classes: what is predicted, and how well each class is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.reporting.words import number

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.decision import DecisionRule
    from airflow_mlops.domain.facts.results import Evaluation, TrainedModel

_CLASSES = 30


def predicts(candidate: TrainedModel) -> str:
    """Return what a model predicts, in words."""
    if candidate.task != "classification":
        return candidate.target
    classes = candidate.classes or BINARY
    if len(classes) == len(BINARY):
        return f"probability that {candidate.target} is {classes[1]}"
    return f"which of {len(classes)} classes {candidate.target} is"


def decides(classes: Sequence[str], rule: DecisionRule) -> str:
    """Return from which probability on a model of two classes puts a row in the second, and why, in words."""
    costs = ""
    if rule.costs:
        costs = f"; a false positive costs {rule.costs.false_positive:g}, a false negative {rule.costs.false_negative:g}"
    return f"{(classes or BINARY)[1]} from a probability of {rule.threshold:.4g} on ({rule.reason}){costs}"


def measured(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    """Yield how the candidate does in each class, the ones with the most rows first."""
    ordered = sorted(evaluation.by_class.items(), key=lambda item: -(item[1]["rows"] or 0))
    for name, measures in ordered[:_CLASSES]:
        yield (
            name,
            int(measures["rows"] or 0),
            *(number(measures[key]) for key in ("precision", "recall", "f1")),
        )
