"""Section of a spec about quality in production."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from airflow_mlops.domain.fields import BY_METRIC, Columns, Count, Duration, Floor, Number, Share
from airflow_mlops.domain.section import Section


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
    min_rows: Count = Field(default=100, description="Matured labels below which nothing is judged.")
    min_coverage: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Share of the predictions that should have a label by now below which nothing is judged.",
    )
    slices: Columns = Field(
        default=(), description="Columns whose every value is measured apart, and held to the floor."
    )
    concept: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Look for concept drift in the champion's errors, with this chance of a false alarm, such as 0.002; "
        "`null` for not. It needs the extra `concept`.",
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
