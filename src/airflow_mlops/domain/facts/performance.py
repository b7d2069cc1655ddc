"""Facts about performance in production: metrics of predictions, measured when their labels have come."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from airflow_mlops.domain.checks import Fact, Number
from airflow_mlops.domain.facts.decision import DecisionRule
from airflow_mlops.domain.predictions import Predictor

CONFIDENCE = 0.95
"""Confidence of each interval."""


class Measured(Fact):
    """A metric, measured on some rows.

    :param value: the metric; None if it is undefined on these rows.
    :param low: lower bound of the confidence interval; None without an interval, as for rows of only a few days.
    :param high: upper bound of the confidence interval; None without an interval.
    :param n: number of rows.
    """

    value: Number
    low: Number = None
    high: Number = None
    n: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """The confidence interval; None if it is not known."""
        return None if self.low is None or self.high is None else (self.low, self.high)


class Judgement(Fact):
    """How one model predicted one partition, judged by the labels known at the end of the same or a later partition.

    :param scored: key of the partition that was predicted.
    :param as_of: key of the partition at whose end the labels were known.
    :param model_version: the model version that made the predictions.
    :param model_digest: the digest of its content; None in judgements of former builds, which did not record it.
    :param predicted: number of predictions.
    :param labelled: number of predictions with a label that counts by then.
    :param contradictory: number of predictions whose labels contradict each other; they count as unlabelled.
    :param unknown: number of labels of the partition that belong to no prediction.
    :param watermark: event time before which no prediction lacks its label.
    :param metrics: measured metrics by name.
    :param slices: the metric that models are ranked by, measured by slice, e.g. ``origin=JFK``.
    :param naive: metrics of a constant prediction, the mean of the training labels.
    :param prior: the mean of the training labels; None if it is not known any more.
    :param shares: the share of each of more than two classes in the training labels; empty if it is not known any more.
    :param classes: the classes of the version, in the order of its probabilities; none for 0 and 1, and for a regression.
    :param decision: from which probability on the version puts a row in the second of two classes; None for 0.5.
    :param holdout: metrics from the model's own evaluation.
    :param estimates: metrics that were estimated without labels when the partition was scored.
    :param content: digest of the predictions, the labels and the data.
    :param data_digest: digest of the partition's data; None if it is not known.
    """

    scored: str
    as_of: str
    model_version: str
    model_digest: str | None = None
    predicted: int
    labelled: int
    contradictory: int = 0
    unknown: int = 0
    watermark: datetime | None = None
    metrics: dict[str, Measured] = Field(default_factory=dict)
    slices: dict[str, Measured] = Field(default_factory=dict)
    naive: dict[str, Number] = Field(default_factory=dict)
    prior: Number = None
    shares: dict[str, float] = Field(default_factory=dict, exclude_if=lambda shares: not shares)
    classes: tuple[str, ...] = Field(default=(), exclude_if=lambda names: not names)
    decision: DecisionRule | None = Field(default=None, exclude_if=lambda rule: rule is None)
    holdout: dict[str, Number] = Field(default_factory=dict)
    estimates: dict[str, Measured] = Field(default_factory=dict)
    content: str
    data_digest: str | None = None

    @property
    def predictor(self) -> Predictor:
        """The version that made the predictions."""
        return Predictor(self.model_version, self.model_digest)

    @property
    def coverage(self) -> float:
        """Share of the predictions that have a label."""
        return self.labelled / self.predicted if self.predicted else 0.0
