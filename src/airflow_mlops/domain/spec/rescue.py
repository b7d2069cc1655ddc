"""The key of a spec about a champion that is failing: what then suffices to take its place."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from airflow_mlops.domain.spec.fields import Confidence, Number
from airflow_mlops.domain.spec.section import Section


class Rescue(Section):
    """What suffices to take the place of a champion whose `performance` fails."""

    margin: Annotated[Number, Field(ge=0)] | None = Field(
        default=None,
        description="How much worse than the champion the interval may leave the candidate, in units of the training metric; "
        "`null` for 0.01 of a metric that has bounds, and 2 % of the champion's value of others.",
    )
    confidence: Confidence = Field(
        default=0.8, description="Confidence of that interval, from 0.5 to below 1."
    )
    fallback: tuple[Literal["constant"], ...] = Field(
        default=(),
        exclude_if=lambda fallbacks: not fallbacks,
        description="What takes the champion's place where no candidate is the better bet: `[constant]` for the mean, or the share of "
        "each class, of the training labels, if that has less loss than the champion; none leaves the champion in place.",
    )
