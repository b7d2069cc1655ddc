"""Sections of a spec about decisions: gates, monitoring and retraining."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from airflow_mlops.domain.fields import (
    Count,
    Floor,
    KofN,
    KofNText,
    Number,
    Share,
    SomeColumns,
    Whole,
)
from airflow_mlops.domain.section import Section

BY_METRIC = "by metric: the least of a score, the greatest of a loss or an error."


class VersusChampion(Section):
    """How much better than the champion a candidate must be, on the same rows."""

    margin: Number = Field(
        default=0.0,
        description="Least improvement worth a promotion, in units of the metric; negative tolerates a loss.",
    )
    confidence: Annotated[Number, Field(ge=0.5, lt=1)] = Field(
        default=0.95, description="Confidence that the improvement is above the margin, from 0.5 to below 1."
    )


class Slices(Section):
    """What a candidate must reach within each part of the data."""

    by: SomeColumns = Field(description="Columns whose every value is a slice.")
    floor: Annotated[Floor, Field(min_length=1)] = Field(
        description=f"Worst value allowed in each slice, {BY_METRIC}"
    )
    min_rows: Count = Field(default=500, description="Holdout rows below which a slice is not judged.")


class Gates(Section):
    """What a candidate must pass before it becomes champion."""

    floor: Floor = Field(default={}, description=f"Worst value allowed on the holdout, {BY_METRIC}")
    versus_champion: VersusChampion | None = Field(
        default_factory=VersusChampion, description="Comparison with the champion; `null` turns it off."
    )
    slices: Slices | None = Field(default=None, description="Floors for parts of the data; `null` for none.")
    approval: Literal["none", "one"] = Field(
        default="none",
        description="`none`: passing the gates is enough; `one`: a person also has to approve.",
    )


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
