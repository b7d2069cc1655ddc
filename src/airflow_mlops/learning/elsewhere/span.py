"""Until when a model that was trained elsewhere has learned, and which rows can judge it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

from airflow_mlops.domain.calendars import Calendar
from airflow_mlops.domain.facts.recipe import LEAST_ROWS
from airflow_mlops.domain.facts.results import DatasetVersion, Split
from airflow_mlops.domain.offsets import first_instant, zone_of
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import ModelRefused, NotEnoughData, UnknownPartition
from airflow_mlops.learning.labels import labelled
from airflow_mlops.stores.registry.elsewhere import TRAINED_UNTIL

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.elsewhere import ForeignVersion


def until_of(foreign: ForeignVersion, grain: str) -> tuple[datetime, Literal["tag", "registration"]]:
    """Return the event time from which on a version has learned from no row, and who says so.

    That is what its tag ``trained_until`` says or, without one, when it was registered: nobody learns from what comes later.

    :param grain: of the partitions by which the tag may name the end.
    :raises ModelRefused: if the tag is no end of time.
    """
    text = foreign.tags.get(TRAINED_UNTIL)
    if text is None:
        return foreign.registered, "registration"
    try:
        return moment(text, grain), "tag"
    except ValueError as error:
        raise ModelRefused(f"The tag {TRAINED_UNTIL} of {foreign.name}: {error}") from error


def moment(text: str, grain: str) -> datetime:
    """Return the end of a span that a partition, a day, or a time names; a partition and a day belong to the span.

    :param text: a key such as ``2013-01``, a date, or a time; without an offset it is of the grain's time zone.
    :raises ValueError: if it is neither.
    """
    try:
        return Partition.parse(text, grain).end
    except UnknownPartition:
        pass
    zone = zone_of(Calendar(grain).timezone)
    try:
        if len(text) == len("2013-01-31"):
            return first_instant(datetime.combine(date.fromisoformat(text) + timedelta(days=1), time()), zone)
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no partition, no day and no time: write {Calendar(grain).grain.key_format}, 2013-01-31, or "
            "2013-01-31T18:00:00+00:00"
        ) from None
    return first_instant(read, zone) if read.tzinfo is None else read.astimezone(UTC)


def after(split: Split, dataset: DatasetVersion, until: datetime) -> Split:
    """Return a split whose holdout has only rows that a model cannot have learned from.

    :param until: it has learned from no row from then on.
    :raises NotEnoughData: if too few are left.
    """
    if until <= split.cut:
        return split
    when, labels = dataset.event_time, dataset.labels
    rows = labelled.read(
        dataset, columns=[when, labels.target] if labels else [when], since=until, until=split.end
    )
    if labels is not None:
        rows = rows.filter(rows[labels.target].is_valid())
    if rows.num_rows < LEAST_ROWS:
        raise NotEnoughData(
            f"it may have learned from rows up to {until:%Y-%m-%d %H:%M}, and {rows.num_rows} of the holdout, which ends at "
            f"{split.end:%Y-%m-%d %H:%M}, are later; {LEAST_ROWS} are needed. It waits for later partitions; if it has learned "
            f"from less, say so in the tag {TRAINED_UNTIL} of the version"
        )
    moved = split.train_rows + split.holdout_rows - rows.num_rows
    return split.model_copy(update={"cut": until, "train_rows": moved, "holdout_rows": rows.num_rows})
