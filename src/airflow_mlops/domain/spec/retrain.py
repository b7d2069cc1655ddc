"""Sections of a spec about when to train again."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from airflow_mlops.domain.spec.fields import (
    Count,
    KofN,
    KofNText,
    Number,
    PartitionCount,
    Text,
    WholePartitions,
)
from airflow_mlops.domain.spec.loading import shorten
from airflow_mlops.domain.spec.section import Section

GROWING = "growing"
"""Value of ``retrain.again``: twice as long with each attempt that did not help."""


def _cron(value: str) -> str:
    from croniter import CroniterError, croniter

    problem = f"{shorten(repr(value))} is no cron of five fields, such as 0 0 * * 1 for each Monday"
    # croniter reads R as a random time and H as a time by hash, but a rule has to give the same answer each time.
    if len(value.split()) != 5 or re.search(r"(^|[\s,/-])[hr]", value, re.IGNORECASE):
        raise ValueError(problem)
    try:
        croniter(value, 0.0).get_next(float)
    except CroniterError as error:
        raise ValueError(f"{problem}: {error}") from None
    return value


class Mode(StrEnum):
    """What follows when a rule asks for retraining: it is done, a person is asked, or nothing."""

    AUTO = "auto"
    SUGGEST = "suggest"
    OFF = "off"


class RetrainWhen(Section):
    """Rules of which any one asks for retraining."""

    drift: KofNText | None = Field(
        default=None,
        description="Drift in at least k of the last n partitions, such as `2 of 3`; `null` for never.",
    )
    performance: KofNText | None = Field(
        default=None, description="Weak performance in at least k of the last n partitions; `null` for never."
    )
    baseline: KofNText | None = Field(
        default=None,
        description="No better than the naive baseline in at least k of the last n partitions; `null` for never.",
    )
    concept: KofNText | None = Field(
        default=None, description="Concept drift in at least k of the last n partitions; `null` for never."
    )
    intervals: KofNText | None = Field(
        default=None,
        description="Too few or too many true values between the predicted bounds in at least k of the last n partitions; "
        "`null` for never.",
    )
    staleness: PartitionCount | None = Field(
        default=None,
        description="Partitions since the champion's training data ended, above which to retrain; `null` for never.",
    )
    every: PartitionCount | None = Field(
        default=None, description="Partitions after which to retrain in any case; `null` for never."
    )
    cron: Annotated[Text, AfterValidator(_cron)] | None = Field(
        default=None,
        description="Cron in `timezone`: retrain at the first partition that ends when it fires or later; `null` for never.",
    )
    growth: Annotated[Number, Field(gt=1)] | None = Field(
        default=None,
        description="How many times as far as what the last training learned from the data must reach before to retrain, such as 4; "
        "`null` for never.",
    )
    rows: Count | None = Field(
        default=None,
        description="New rows with matured labels since the last training, from which to retrain; `null` for never.",
    )


def _lasting() -> RetrainWhen:
    return RetrainWhen(drift=KofN(2, 3), performance=KofN(2, 3))


class Retrain(Section):
    """When to train again; a model without a champion always trains."""

    when: RetrainWhen = Field(
        default_factory=_lasting, description="Rules of which any one asks for retraining."
    )
    mode: Mode = Field(
        default=Mode.AUTO,
        description="What follows when a rule asks: `auto` retrains, `suggest` asks a person, `off` does nothing.",
    )
    cooldown: WholePartitions = Field(
        default=0, description="Partitions to wait after an attempt before the next."
    )
    again: Count | Literal["growing"] | None = Field(
        default=None,
        description="Partitions after an attempt when a problem that still lasts may cause the next one; `growing` for 1, 2, 4, 8 …, "
        "twice as many with each attempt that did not help, of drift also where it was over in between; `null` for not before "
        "it was over once.",
    )
    clear: PartitionCount = Field(
        default=1, description="Partitions in a row that must pass before a problem is over."
    )
    budget: KofNText | None = Field(
        default=None,
        description="Most trainings in any n partitions, such as `3 of 12`; `null` for any number.",
    )
    skip_unchanged: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        description="Do not retrain while no label has matured and no partition was corrected since the last training.",
    )
