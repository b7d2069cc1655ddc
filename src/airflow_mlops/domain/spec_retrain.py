"""Sections of a spec about when to train again."""

from __future__ import annotations

from pydantic import Field

from airflow_mlops.domain.fields import Count, KofN, KofNText, Whole
from airflow_mlops.domain.section import Section


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
