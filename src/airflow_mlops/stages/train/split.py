"""Splits of a dataset version into rows to train on and rows to judge on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from airflow_mlops.domain.facts import recipe
from airflow_mlops.domain.facts.results import DatasetVersion, Split
from airflow_mlops.domain.facts.retraining import TrainableRows
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.windows import Span, of_text, spans
from airflow_mlops.exceptions import NotEnoughData
from airflow_mlops.learning.labels import labelled

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def place_bounds(
    event_times: pa.ChunkedArray,
    *,
    holdout: int | float,
    partition: Partition,
    window: Literal["all"] | int,
    delay: timedelta,
) -> Split:
    """Place the bounds of training and holdout rows, as of one partition.

    :param event_times: of all rows, in any order; some may be later than the partition.
    :param holdout: number of latest partitions with mature labels, or share of the latest rows. Rows of one time stay
        together.
    :param window: partitions to train on, before the holdout; if the holdout is a share of the rows, the window includes
        it. ``all`` begins with the first row.
    :param delay: how long labels take to mature; the latest rows of that span are left out.
    :raises NotEnoughData: if either side has fewer than 50 rows.
    """
    import numpy as np

    times = np.sort(event_times.to_numpy().astype("datetime64[us]"))
    mature = Partition.containing(partition.end - delay - timedelta(microseconds=1), partition.grain)
    held_out = 0 if isinstance(holdout, float) else holdout
    end, start = at(partition.end - delay), times[0] if times.size else at(partition.start)
    if window != "all":
        start = at(_beginning(mature, held_out, window))
    times = times[(times >= start) & (times < end)]
    if isinstance(holdout, float):
        cut = times[int((1 - holdout) * times.size)] if times.size else end
    else:
        cut = max(start, at(mature.shift(1 - holdout).start))
    before = int(np.searchsorted(times, cut))
    bounds = Split(
        start=_moment(start),
        cut=_moment(cut),
        end=_moment(end),
        train_rows=before,
        holdout_rows=times.size - before,
    )
    if min(bounds.train_rows, bounds.holdout_rows) < recipe.LEAST_ROWS:
        first = Partition.containing(_moment(times[0]), partition.grain) if times.size else None
        raise NotEnoughData(f"{_counted(bounds)}: {_lacking(bounds, holdout, window, delay, first, mature)}")
    return bounds


def _beginning(mature: Partition, held_out: int, window: int) -> datetime:
    return mature.shift(1 - held_out - window).start


def starts(
    dataset: DatasetVersion, split: Split, holdout: int | float, window: Span | Sequence[Span]
) -> dict[str, datetime]:
    """Return when each of several windows begins, the longest first; nothing for a single window.

    A window that has no other rows than a longer one, or none, is left out.

    :param split: of the longest window.
    """
    if len(several := spans(window)) < 2:
        return {}
    mature = Partition.containing(split.end - timedelta(microseconds=1), dataset.grain)
    held_out = 0 if isinstance(holdout, float) else holdout
    begins = {str(several[0]): split.start}
    for span in several[1:]:
        start = _beginning(mature, held_out, int(span))
        if max(begins.values()) < start < split.cut:
            begins[str(span)] = start
    return begins


def _counted(bounds: Split) -> str:
    return (
        f"{bounds.train_rows:,} rows to train on and {bounds.holdout_rows:,} held out to judge on, where each side needs "
        f"{recipe.LEAST_ROWS}"
    )


def _lacking(
    bounds: Split,
    holdout: int | float,
    window: Literal["all"] | int,
    delay: timedelta,
    first: Partition | None,
    mature: Partition,
) -> str:
    """Return how the rows were split, and what would give each side enough.

    :param first: the partition of the first row; None without rows.
    :param mature: the last partition whose labels are known.
    """
    with_labels = "with known labels" + (
        f", which take {delay / timedelta(days=1):g} days (labels.delay)" if delay else ""
    )
    if isinstance(holdout, float):
        total = bounds.train_rows + bounds.holdout_rows
        needed = math.ceil(recipe.LEAST_ROWS / min(holdout, 1 - holdout))
        return f"train.holdout is {holdout:g} of the {total:,} rows {with_labels}; about {needed:,} such rows are needed"
    there = 0 if first is None or first > mature else first.steps(mature) + 1
    span = "" if not there else f", {first}" if there == 1 else f", {first} to {mature}"
    text = f"train.holdout keeps the last {_partitions(holdout)} to judge on, of the {_partitions(there)} {with_labels}{span}"
    if (missing := holdout + 1 - there) > 0:
        return f"{text}; {missing} more {'is' if missing == 1 else 'are'} needed"
    if bounds.train_rows >= recipe.LEAST_ROWS:
        return f"{text}; more rows or a longer train.holdout are needed"
    return f"{text}; more rows{'' if window == 'all' else ' or a longer train.window'} are needed"


def _partitions(count: int) -> str:
    return f"{count} partition{'s' * (count != 1)}"


def at(moment: datetime) -> np.datetime64:
    """Return a moment as NumPy has those of rows."""
    import numpy as np

    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def _moment(time: np.datetime64) -> datetime:
    moment: datetime = time.astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC)


def trainable(
    dataset: DatasetVersion, holdout: int | float, window: int | str | Sequence[Span], delay: timedelta
) -> TrainableRows:
    """Return what a training on a dataset version would learn from.

    :param holdout: see :func:`place_bounds`, as for ``window`` and ``delay``.
    """
    try:
        return TrainableRows(split_of(dataset, holdout, window, delay).cut, None)
    except NotEnoughData as error:
        return TrainableRows(None, str(error))


def split_of(
    dataset: DatasetVersion, holdout: int | float, window: int | str | Sequence[Span], delay: timedelta
) -> Split:
    """Return the split of a dataset version, as of its partition; of several windows that of the longest.

    Where labels have a source of their own, only rows whose label is known by then count.

    :param holdout: see :func:`place_bounds`, as for ``window`` and ``delay``.
    :raises NotEnoughData: if there is too little to train or to judge on.
    """
    when, labels = dataset.event_time, dataset.labels
    rows = labelled.read(dataset, columns=[when, labels.target] if labels else [when])
    if labels is not None:
        rows = rows.filter(rows[labels.target].is_valid())
    try:
        return place_bounds(
            rows[when],
            holdout=holdout,
            partition=Partition.parse(dataset.partition, dataset.grain),
            window=spans(of_text(window))[0],
            delay=delay,
        )
    except NotEnoughData as error:
        if labels is None:
            raise
        raise NotEnoughData(
            f"{error}. Only rows with a label count, and labels.source has brought {rows.num_rows:,} by the end of "
            f"{dataset.partition}: if labels take longer, say so in labels.delay"
        ) from error
