"""The section of a spec about decisions: from which probability on a row is put in the positive class, and what mistakes cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from airflow_mlops.domain.classes import BINARY, class_name
from airflow_mlops.domain.metrics import F_BETA, Task, metric_of, of_decisions
from airflow_mlops.domain.spec.costs import AnyCosts, ClassCosts, CostMatrix, Costs
from airflow_mlops.domain.spec.fields import MetricName, Number
from airflow_mlops.domain.spec.loading import Place
from airflow_mlops.domain.spec.section import Section

CHOOSING = ("f1", "f1_weighted", "balanced_accuracy", "matthews", "quadratic_kappa", "accuracy")
"""Metrics that a threshold can be chosen by: each is worse both with too few and with too many rows called positive."""
COST = "expected_cost"
"""The metric that needs costs."""
BY_CLASS = "write decision: {costs: {true class: {chosen class: cost}, default: cost}}"
"""How costs of more than two classes are written."""


def _chooses(name: str) -> str:
    if name == COST:
        raise ValueError("is what costs choose by: write decision: {costs: {…}} alone")
    if name in ("precision", "recall"):
        extreme = "all" if name == "recall" else "next to no"
        raise ValueError(f"cannot be {name}: it is best with {extreme} rows called positive; f1 weighs both")
    if name not in CHOOSING and metric_of(name).family != F_BETA:
        allowed = ", ".join((*CHOOSING, F_BETA.form))
        why = "" if of_decisions(name) else ", which no threshold changes"
        raise ValueError(f"cannot be {name}{why}; allowed: {allowed}")
    return name


class Decision(Section):
    """From which probability on a row is put in the second of two classes: one of the three keys says it. Of more, `costs` can."""

    costs: AnyCosts | None = Field(
        default=None,
        description="What mistakes cost. Of two classes: take the threshold of least cost on the validation rows of the training, which "
        "its model was not fitted to. Of more, `{true class: {chosen class: cost}}`, with a `default` for pairs that are not named: choose "
        "the class of least expected cost.",
    )
    metric: (
        Annotated[
            MetricName,
            AfterValidator(_chooses),
            WithJsonSchema(
                {"type": "string", "anyOf": [{"enum": list(CHOOSING)}, {"pattern": f"^{F_BETA.pattern}$"}]}
            ),
        ]
        | None
    ) = Field(default=None, description="Take the threshold at which this metric is best on the same rows.")
    threshold: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        default=None, description="Take this threshold, above 0 and below 1."
    )

    def counted(self, classes: Sequence[str]) -> Costs | CostMatrix | None:
        """Return what metrics count mistakes by, for a version of some classes; None if nothing says what they cost."""
        return self.costs.among(classes) if isinstance(self.costs, ClassCosts) else self.costs

    @model_validator(mode="after")
    def _one_of_three(self) -> Decision:
        named = [name for name in ("costs", "metric", "threshold") if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(
                f"takes one of costs, metric and threshold, not {' and '.join(named) or 'none of them'}"
            )
        return self


def unfit(decision: Decision, task: Task | None, classes: Sequence[str | int]) -> list[tuple[Place, str]]:
    """Return why a model can have no such decision, with places; nothing if it can.

    :param task: None if that is not known.
    :param classes: those that the spec names.
    """
    if task is Task.REGRESSION:
        return [((), "is for classification: a predicted number is no decision; leave it out")]
    names = [class_name(label) for label in classes]
    if names and isinstance(decision.costs, ClassCosts):
        return [(("costs", *place), why) for place, why in decision.costs.problems(names)]
    if len(names) > len(BINARY) and isinstance(decision.costs, Costs):
        return [(("costs",), f"is of two classes, and classes names {len(names)}: {BY_CLASS}")]
    if len(names) > len(BINARY):
        why = f"is for two classes, and classes names {len(names)}, of which the most probable is chosen; leave it out, or {BY_CLASS}"
        return [((), why)]
    return []


def costless(decision: Decision | None, metrics: Mapping[Place, str | None]) -> list[tuple[Place, str]]:
    """Return a complaint about each metric that needs costs where there are none, with its place.

    :param metrics: names of metrics by their place.
    """
    if decision is not None and decision.costs is not None:
        return []
    how = "decision: {costs: {false_positive: 1, false_negative: 20}}"
    return [(place, f"{COST} needs costs: write {how}") for place, name in metrics.items() if name == COST]
