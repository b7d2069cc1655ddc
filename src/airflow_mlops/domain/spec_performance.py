"""Section of a spec about quality in production."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from airflow_mlops.domain.fields import BY_METRIC, Floor, Number
from airflow_mlops.domain.section import Section


class PerformancePolicy(Section):
    """When the champion counts as too weak, on labels that have matured."""

    floor: Floor = Field(default={}, description=f"Worst value allowed on matured labels, {BY_METRIC}")
    drop: Annotated[Number, Field(gt=0)] | None = Field(
        default=None,
        description="Largest loss of the training metric since the champion's evaluation; `null` for any.",
    )
