"""Sections of a spec about decisions in production: monitoring, rollback and retraining."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from airflow_mlops.domain.fields import (
    BY_METRIC,
    Confidence,
    Count,
    Floor,
    KofN,
    KofNText,
    Number,
    Share,
    Whole,
)
from airflow_mlops.domain.section import Section


class DriftPolicy(Section):
    """When the data counts as drifted from the champion's training data."""

    columns: Share = Field(
        default=0.3, description="Share of the columns that must have drifted, above 0 and up to 1."
    )
    threshold: Annotated[Number, Field(gt=0)] = Field(
        default=0.1, description="Distance from which one column has drifted."
    )
    min_rows: Count = Field(default=500, description="Rows on either side below which drift is not judged.")


class PerformancePolicy(Section):
    """When the champion counts as too weak, on labels that have matured."""

    floor: Floor = Field(default={}, description=f"Worst value allowed on matured labels, {BY_METRIC}")
    drop: Annotated[Number, Field(gt=0)] | None = Field(
        default=None,
        description="Largest loss of the training metric since the champion's evaluation; `null` for any.",
    )


class AutoRollback(Section):
    """When a new champion is taken back without asking: it does worse than the one before on the same matured rows."""

    within: Count = Field(
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
    staleness: Count | None = Field(
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


class RetrainWhen(Section):
    """Rules of which any one asks for retraining."""

    drift: KofNText | None = Field(
        default=None,
        description="Drift in at least k of the last n partitions, such as `2 of 3`; `null` for never.",
    )
    performance: KofNText | None = Field(
        default=None, description="Weak performance in at least k of the last n partitions; `null` for never."
    )
    every: Count | None = Field(
        default=None, description="Partitions after which to retrain in any case; `null` for never."
    )


def _lasting() -> RetrainWhen:
    return RetrainWhen(drift=KofN(2, 3), performance=KofN(2, 3))


class Retrain(Section):
    """When to train again; a model without a champion always trains."""

    when: RetrainWhen = Field(
        default_factory=_lasting, description="Rules of which any one asks for retraining."
    )
    cooldown: Whole = Field(default=0, description="Partitions to wait after an attempt before the next.")
