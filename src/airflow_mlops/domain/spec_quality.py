"""Sections of a spec about what its data may look like."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from airflow_mlops.domain.checks import Severity
from airflow_mlops.domain.fields import Number
from airflow_mlops.domain.section import Section


class SchemaPolicy(StrEnum):
    """What a partition may change in the columns that a dataset has."""

    STRICT = "strict"
    ADD = "add"
    EVOLVE = "evolve"


class Skew(Section):
    """How far a partition may be from the data that the champion was trained on."""

    threshold: Annotated[Number, Field(gt=0)] = Field(
        default=0.5,
        description="Distance from which a feature's values count as skewed: normalised Wasserstein for numbers, "
        "Jensen-Shannon for categories.",
    )
    severity: Severity = Field(
        default=Severity.WARN, description="What follows when values are skewed: `warn` or `block`."
    )
