"""The section of a spec about bounds of predicted numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from airflow_mlops.domain.spec.fields import Number
from airflow_mlops.domain.spec.section import Section

TOLERANCE = 0.05
"""How far the share of true values between the bounds may lie from what it is to be, where a spec says nothing."""


class PredictionIntervals(Section):
    """Bounds between which a share of the true values lies, calibrated on rows that the model was not fitted to."""

    coverage: Annotated[Number, Field(gt=0, lt=1)] = Field(
        default=0.9, description="Share of the true values that are to lie between the bounds."
    )
    method: Literal["absolute", "quantile"] = Field(
        default="absolute",
        description="`absolute` puts the same margin around every prediction; `quantile` fits the two bounds too, so that "
        "they are wider where the data is less certain.",
    )
    calibration: Annotated[Number, Field(gt=0, le=0.5)] = Field(
        default=0.2,
        description="Share of the training rows, the latest, that are kept to calibrate the bounds on; above 0, up to 0.5.",
    )
