"""Section of a spec about drift."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from airflow_mlops.domain.fields import Count, Number, Share
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
