"""Section of a spec about drift."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from airflow_mlops.domain.fields import Count, Number, Share
from airflow_mlops.domain.section import Section


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
    significance: Annotated[Number, Field(gt=0, lt=1)] = Field(
        default=0.05,
        description="Chance with which data that did not change may be found to have drifted, over all columns.",
    )
    min_rows: Count = Field(default=500, description="Rows on either side below which drift is not judged.")
    window: Count = Field(
        default=1, description="Partitions that are judged together: this one and those before it."
    )
    weights: Literal["equal", "importance"] = Field(
        default="equal",
        description="What a column counts in the share: all the same, or what the champion's evaluation found it to matter.",
    )
    season: Literal["month", "weekday"] | None = Field(
        default=None,
        description="Compare with training rows of the same months, or days of the week, only; `null` for all of them.",
    )
