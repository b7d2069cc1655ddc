"""Summaries of a champion's training data, kept among the artifacts of its training run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import tzinfo
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.calendars import Calendar
from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.results import ModelRef
from airflow_mlops.learning.labels import labelled
from airflow_mlops.learning.models import classes, models, thresholds
from airflow_mlops.learning.statistics import decisions
from airflow_mlops.learning.summaries import summary, table
from airflow_mlops.learning.summaries.build import Summariser
from airflow_mlops.learning.summaries.summary import Column
from airflow_mlops.stores import zones
from airflow_mlops.stores.registry import artifacts, registry, tracking

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.registry import Training

FOLDER = "reference"
"""Folder of the summaries among the artifacts of a run: one file a season."""

PREDICTION, TARGET = "<prediction>", "<target>"
"""Names of the summaries beside the features: of the champion's own predictions, and of the labels."""

_log = logging.getLogger(__name__)
_ALL = "all"


class DriftReference(NamedTuple):
    """The training data of a champion.

    :param training: the training, as the champion's version records it.
    :param columns: summaries of the features, the target and the champion's own predictions, by name.
    """

    training: Training
    columns: dict[str, Column]


def read(
    client: Client, champion: ModelRef, *, season: str | None, groups: set[int] | None
) -> DriftReference:
    """Return the summaries of the champion's training rows; the first call for a season computes them.

    :param season: ``month`` or ``weekday`` to summarise the rows of each apart; None to summarise them
        together.
    :param groups: the months, or days of the week from 1 for Monday, to return; None means all.
    :raises TableMissing: if no summaries are kept, and the training data is gone.
    :raises TableUnreadable: if no summaries are kept, and the training data is damaged.
    """
    training = registry.training(client, champion)
    summaries = _kept(client, champion, season) or _make(client, champion, training, season)
    selected = [
        columns for group, columns in summaries.items() if groups is None or group in map(str, groups)
    ]
    # If no training row is of that season, the summaries are empty, and the checks on them say so.
    chosen = selected or [
        {name: summary.empty(column.kind) for name, column in columns.items()}
        for columns in summaries.values()
    ]
    return DriftReference(
        training, {name: summary.merge(columns[name] for columns in chosen) for name in chosen[0]}
    )


def _path(season: str | None) -> str:
    return f"{FOLDER}/{season or _ALL}.parquet"


def _kept(client: Client, champion: ModelRef, season: str | None) -> dict[str, dict[str, Column]] | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = _path(season)
    content = artifacts.read(client, champion.run_id, path)
    if content is None:
        return None
    try:
        return table.from_table(pq.read_table(pa.BufferReader(content)))
    except (pa.ArrowException, OSError, KeyError, ValueError, AttributeError, TypeError) as error:
        _log.warning(
            "%s of run %s is damaged and made again: %s", path, champion.run_id, type(error).__name__
        )
        return None


def _make(
    client: Client, champion: ModelRef, training: Training, season: str | None
) -> dict[str, dict[str, Column]]:
    import pyarrow.parquet as pq

    target = tracking.tags(client, champion.run_id).get("mlops.target")
    features = training.features
    numbers, categories = list(features.numeric), list(features.categorical)
    texts = features.kinds.get("text", ())
    (categories if len(training.classes) > len(BINARY) else numbers).append(PREDICTION)
    (categories if training.task == "classification" else numbers).append(TARGET)
    beside = {None: 0, "month": 11, "weekday": 6}[season]
    parts: dict[str, Summariser] = {}
    zone = Calendar(training.dataset.grain).zone
    for batch in _rows(client, champion, training, target):
        for group, rows in _apart(batch, training.dataset.event_time, season, zone):
            parts.setdefault(group, Summariser(numbers, categories, beside, texts)).add(rows)
    nothing = {_ALL: Summariser(numbers, categories, text=texts)}
    summaries = {group: part.columns() for group, part in (parts or nothing).items()}
    content = BytesIO()
    pq.write_table(table.to_table(summaries), content, compression="zstd")
    artifacts.write(client, champion.run_id, _path(season), content.getvalue())
    return summaries


def _rows(client: Client, champion: ModelRef, training: Training, target: str | None) -> Iterator[pa.Table]:
    """Yield the training rows, with their labels and the champion's predictions of them."""
    import pyarrow as pa

    source, split = training.dataset, training.split
    names = dict.fromkeys([*training.features.names, source.event_time, *([target] if target else [])])
    fitted = models.load_version(client, champion)
    for rows in labelled.scan(source, list(names), split.start, split.cut):
        if not rows.num_rows:
            continue
        predicted = models.predict(fitted, rows, training.task)
        extended = rows.append_column(TARGET, rows[target]) if target else rows
        column = pa.array(predicted, pa.float64()) if predicted.ndim == 1 else _chosen(fitted, predicted)
        yield extended.append_column(PREDICTION, column)


def _chosen(fitted: Pipeline, predicted: np.ndarray) -> pa.Array:
    """Return the names of the classes that rows are put in."""
    import numpy as np
    import pyarrow as pa

    names = np.array(classes.of(fitted).names, dtype=object)
    return pa.array(names[decisions.chosen(predicted, thresholds.of(fitted))], pa.string())


def _apart(rows: pa.Table, time: str, season: str | None, zone: tzinfo) -> Iterator[tuple[str, pa.Table]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if season is None:
        yield _ALL, rows
        return
    clock = pa.array(zones.clocks(rows[time].to_numpy(), zone))
    of = pc.month(clock) if season == "month" else pc.day_of_week(clock, count_from_zero=False)
    for group in pc.unique(of).to_pylist():
        yield str(group), rows.filter(pc.equal(of, group))
