"""What a model card says of classes: what is predicted, and how well each class is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.spec.costs import CostMatrix, Costs
from airflow_mlops.reporting.words import number

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.decision import DecisionRule
    from airflow_mlops.domain.facts.results import Evaluation, TrainedModel

_CLASSES = 30
_COSTS = 12


def predicts(candidate: TrainedModel) -> str:
    """Return what a model predicts, in words."""
    if candidate.task != "classification":
        return candidate.target
    classes = candidate.classes or BINARY
    if len(classes) == len(BINARY):
        return f"probability that {candidate.target} is {classes[1]}"
    return f"which of {len(classes)} classes {candidate.target} is"


def decides(classes: Sequence[str], rule: DecisionRule) -> str:
    """Return from which probability on a model of two classes puts a row in the second, or what it weighs, and why, in words."""
    if isinstance(rule.costs, CostMatrix):
        return f"{rule.reason}: {'; '.join(_costs(classes, rule.costs))}"
    costs = ""
    if isinstance(rule.costs, Costs):
        costs = f"; a false positive costs {rule.costs.false_positive:g}, a false negative {rule.costs.false_negative:g}"
    return f"{(classes or BINARY)[1]} from a probability of {rule.threshold:.4g} on ({rule.reason}){costs}"


def _costs(classes: Sequence[str], costs: CostMatrix) -> Iterator[str]:
    """Yield what mistakes cost, the dearest first."""
    mistakes = [
        (cost or 0.0, true, chosen)
        for true, row in zip(classes, costs.rows, strict=False)
        for chosen, cost in zip(classes, row, strict=False)
        if true != chosen
    ]
    mistakes.sort(key=lambda mistake: -mistake[0])
    for cost, true, chosen in mistakes[:_COSTS]:
        yield f"{true} as {chosen} costs {cost:g}"
    if len(mistakes) > _COSTS:
        yield f"and {len(mistakes) - _COSTS:,} more"


def measured(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    """Yield how the candidate does in each class, the ones with the most rows first."""
    ordered = sorted(evaluation.by_class.items(), key=lambda item: -(item[1]["rows"] or 0))
    for name, measures in ordered[:_CLASSES]:
        yield (
            name,
            int(measures["rows"] or 0),
            *(number(measures[key]) for key in ("precision", "recall", "f1")),
        )
