"""Section of a spec about quality in production."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.spec.class_gates import Measure, ShareOfRows
from airflow_mlops.domain.spec.fields import (
    BY_METRIC,
    Columns,
    Confidence,
    Count,
    Duration,
    Floor,
    Number,
    PartitionCount,
    Share,
    other_task,
)
from airflow_mlops.domain.spec.intervals import TOLERANCE
from airflow_mlops.domain.spec.loading import Place
from airflow_mlops.domain.spec.section import Section


class PerformancePolicy(Section):
    """When the champion counts as too weak, on labels that have matured."""

    floor: Floor = Field(default={}, description=f"Worst value allowed on matured labels, {BY_METRIC}")
    drop: Annotated[Number, Field(gt=0)] | None = Field(
        default=None,
        description="Largest loss of the training metric since the champion's evaluation; `null` for any.",
    )
    baseline: Annotated[Number, Field(ge=0)] = Field(
        default=0.0,
        description="How much better than a constant, the mean of the training labels, the training metric must be.",
    )
    chance: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Test the champion against its evaluation, against constants and for calibration, with this chance of any "
        "false alarm over all partitions of a model, such as 0.05; `null` for not.",
    )
    min_rows: Count = Field(default=100, description="Matured labels below which nothing is judged.")
    min_coverage: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Share of the predictions that should have a label by now below which nothing is judged.",
    )
    slices: Columns = Field(
        default=(), description="Columns whose every value is measured apart, and held to the floor."
    )
    classes: dict[Measure, ShareOfRows] = Field(
        default={},
        description="Worst value allowed of each class of a classifier, by measure (recall, precision, f1). It decides nothing by "
        "itself.",
    )
    concept: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Look for concept drift in the champion's errors, with this chance of a false alarm, such as 0.002; "
        "`null` for not. It needs the extra `concept`.",
    )
    intervals: Share | None = Field(
        default=TOLERANCE,
        description="How far the share of true values between the bounds may lie from `train.intervals.coverage`; `null` for "
        "any. It decides nothing by itself.",
    )
    volume: Share | None = Field(
        default=0.5,
        description="Least share of the usual number of predictions of a partition, and 1 over it the largest; `null` "
        "for any.",
    )
    latency: Duration | None = Field(
        default=None,
        description="Longest time from the end of a partition until it was scored; `null` for any.",
    )


class DriftPolicy(Section):
    """When the data counts as drifted from the champion's training data."""

    columns: Share = Field(
        default=0.3, description="Share of the columns that must have drifted, above 0 and up to 1."
    )
    threshold: Annotated[Number, Field(gt=0)] = Field(
        default=0.1, description="Distance from which one column has drifted, if it is significant."
    )
    missing: Share = Field(
        default=0.1,
        description="Change of a column's share of missing values, or of infinite ones, from which it has drifted, if it "
        "is significant.",
    )
    unseen: Share = Field(
        default=0.1,
        description="Share of rows with a category that the training data lacks, beyond what its own rare categories let "
        "expect, from which a column has drifted, if it is significant.",
    )
    significance: Annotated[Number, Field(gt=0, lt=1)] = Field(
        default=0.05,
        description="Chance with which data that did not change may be found to have drifted, over all columns.",
    )
    min_rows: Count = Field(default=500, description="Rows on either side below which drift is not judged.")
    window: PartitionCount = Field(
        default=1, description="Partitions that are judged together: this one and those before it."
    )
    weights: Literal["equal", "importance"] = Field(
        default="equal",
        description="What a column counts in the share: all the same, or what the champion's evaluation found it to matter.",
    )
    reference: Literal["training", "seen"] = Field(
        default="training",
        exclude_if=lambda reference: reference == "training",
        description="What a column is compared with: what the champion was trained on, or also, whichever is nearest, each of the last "
        "12 partitions whose labels have shown that it does well on them (`seen`).",
    )
    season: Literal["month", "weekday"] | None = Field(
        default=None,
        description="Compare with training rows of the same months, or days of the week, only; `null` for all of them.",
    )


class AutoRollback(Section):
    """When a new champion is taken back without asking: it does worse than the one before on the same matured rows."""

    within: PartitionCount = Field(
        default=3,
        description="Partitions with matured labels after its promotion in which it is on probation.",
    )
    margin: Annotated[Number, Field(ge=0)] = Field(
        default=0.0, description="How much worse it must be, in units of the training metric."
    )
    confidence: Confidence = Field(
        default=0.95, description="Confidence that it is worse by more than the margin."
    )


class Monitor(Section):
    """What is watched in production."""

    drift: DriftPolicy = Field(default_factory=DriftPolicy, description="Drift of the features.")
    performance: PerformancePolicy = Field(
        default_factory=PerformancePolicy, description="Quality on matured labels."
    )
    staleness: PartitionCount | None = Field(
        default=None,
        description="Partitions after which the champion's training data is too old; `null` for never.",
    )
    rollback: AutoRollback | None = Field(
        default=None, description="Automatic rollback of a new champion; `null` leaves it to people."
    )
    alias_guard: Literal["off", "report", "revert"] = Field(
        default="report",
        description="What follows when somebody moved the champion alias outside of the ledger: nothing, a mail, or a "
        "mail and the alias moved back.",
    )

    def problems(self, task: Task) -> list[tuple[Place, str]]:
        """Return complaints about what does not suit a task, with their places."""
        complaints = other_task(self.performance.floor, task, ("performance", "floor"))
        if self.performance.classes and task is Task.REGRESSION:
            complaints.append((("performance", "classes"), "is for classification; leave it out"))
        return complaints
