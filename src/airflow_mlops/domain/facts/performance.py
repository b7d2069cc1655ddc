"""Performance in production, as facts: what was measured of predictions as their labels came."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from airflow_mlops.domain.checks import Fact, Number

CONFIDENCE = 0.95
"""Confidence of every interval."""


class Measured(Fact):
    """A metric of some rows.

    :param low: of the confidence interval; None without one, as of a few days.
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
    """The predictions that one model made of one partition, by the labels that were known as of another.

    :param scored: the partition that was predicted.
    :param as_of: the partition at whose end the labels were known.
    :param model_version: what predicted.
    :param predicted: predictions.
    :param labelled: those with a label that counts by then.
    :param contradictory: those whose labels contradict each other: they count as unlabelled.
    :param unknown: labels of the partition that belong to no prediction.
    :param watermark: event time before which no prediction lacks its label.
    :param metrics: by metric.
    :param slices: the metric that models are ranked by, by slice, e.g. ``origin=JFK``.
    :param naive: metrics of a constant prediction: the mean of the training labels.
    :param prior: that mean; None if it is not known any more.
    :param holdout: metrics of the model's own evaluation.
    :param estimates: metrics as they were estimated without labels, when the partition was scored.
    :param content: digest of the predictions, the labels and the data.
    :param data_digest: digest of the partition's data; None if it is not known.
    """

    scored: str
    as_of: str
    model_version: str
    predicted: int
    labelled: int
    contradictory: int = 0
    unknown: int = 0
    watermark: datetime | None = None
    metrics: dict[str, Measured] = Field(default_factory=dict)
    slices: dict[str, Measured] = Field(default_factory=dict)
    naive: dict[str, Number] = Field(default_factory=dict)
    prior: Number = None
    holdout: dict[str, Number] = Field(default_factory=dict)
    estimates: dict[str, Measured] = Field(default_factory=dict)
    content: str
    data_digest: str | None = None

    @property
    def coverage(self) -> float:
        """Share of the predictions that have a label."""
        return self.labelled / self.predicted if self.predicted else 0.0
