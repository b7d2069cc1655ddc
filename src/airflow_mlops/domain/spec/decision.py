"""The section of a spec about decisions: from which probability on a row is put in the positive class, and what mistakes cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.metrics import F_BETA, Task, metric_of, of_decisions
from airflow_mlops.domain.spec.fields import MetricName, Number
from airflow_mlops.domain.spec.loading import Place
from airflow_mlops.domain.spec.section import Section

CHOOSING = ("f1", "f1_weighted", "balanced_accuracy", "matthews", "quadratic_kappa", "accuracy")
"""Metrics that a threshold can be chosen by: each is worse both with too few and with too many rows called positive."""
COST = "expected_cost"
"""The metric that needs costs."""


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


class Costs(Section):
    """What the two mistakes of a classifier cost, in any unit; a right decision costs nothing."""

    false_positive: Annotated[Number, Field(gt=0, le=1e12)] = Field(
        description="Cost of a row that is called positive and is not, such as a false alarm."
    )
    false_negative: Annotated[Number, Field(gt=0, le=1e12)] = Field(
        description="Cost of a positive row that is not called so, such as a missed fraud."
    )

    @property
    def threshold(self) -> float:
        """The threshold of least cost for probabilities that are right: Elkan, The Foundations of Cost-Sensitive Learning (2001)."""
        return self.false_positive / (self.false_positive + self.false_negative)

    @property
    def turned(self) -> Costs:
        """The same costs if the other class is the positive one."""
        return Costs(false_positive=self.false_negative, false_negative=self.false_positive)

    @model_validator(mode="before")
    @classmethod
    def _of_two_classes(cls, value: Any) -> Any:
        if isinstance(value, dict) and any(isinstance(part, dict) for part in value.values()):
            raise ValueError(
                "takes false_positive and false_negative, for two classes; of more than two the most probable one is chosen, "
                "whatever mistakes cost"
            )
        return value


class Decision(Section):
    """From which probability on a row is put in the second of two classes: one of the three keys says it."""

    costs: Costs | None = Field(
        default=None,
        description="Take the threshold of least cost on the validation rows of the training, which its model was not fitted to.",
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

    @model_validator(mode="after")
    def _one_of_three(self) -> Decision:
        named = [name for name in ("costs", "metric", "threshold") if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(
                f"takes one of costs, metric and threshold, not {' and '.join(named) or 'none of them'}"
            )
        return self


def unfit(task: Task | None, classes: Sequence[str | int]) -> str:
    """Return why a model can have no decision; "" if it can.

    :param task: None if that is not known.
    :param classes: those that the spec names.
    """
    if task is Task.REGRESSION:
        return "is for classification: a predicted number is no decision; leave it out"
    if len(classes) > len(BINARY):
        return f"is for two classes, and classes names {len(classes)}, of which the most probable is chosen; leave it out"
    return ""


def costless(decision: Decision | None, metrics: Mapping[Place, str | None]) -> list[tuple[Place, str]]:
    """Return a complaint about each metric that needs costs where there are none, with its place.

    :param metrics: names of metrics by their place.
    """
    if decision is not None and decision.costs is not None:
        return []
    how = "decision: {costs: {false_positive: 1, false_negative: 20}}"
    return [(place, f"{COST} needs costs: write {how}") for place, name in metrics.items() if name == COST]
