"""Section of a spec about what is watched in production."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from airflow_mlops.domain.fields import Confidence, Count, Number
from airflow_mlops.domain.section import Section
from airflow_mlops.domain.spec_drift import DriftPolicy
from airflow_mlops.domain.spec_performance import PerformancePolicy


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
