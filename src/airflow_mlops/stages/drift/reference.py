"""What a champion was trained on, as summaries among the artifacts of its training run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.facts.results import ModelRef
from airflow_mlops.learning.labels import labelled
from airflow_mlops.learning.models import models
from airflow_mlops.learning.summaries import summary, table
from airflow_mlops.learning.summaries.build import Summariser
from airflow_mlops.learning.summaries.summary import Column
from airflow_mlops.stores.registry import artifacts, registry, tracking

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.registry import Training

FOLDER = "reference"
"""Where the summaries lie among the artifacts of a run: one file a season."""

PREDICTION, TARGET = "<prediction>", "<target>"
"""What is summarised beside the features."""

_log = logging.getLogger(__name__)
_ALL = "all"


class DriftReference(NamedTuple):
    """What a champion was trained on.

    :param training: what its version says of it.
    :param columns: summaries of features, target and its own predictions.
    """

    training: Training
    columns: dict[str, Column]


def read(client: Client, champion: ModelRef, *, season: str | None, groups: set[int] | None) -> DriftReference:
    """Return the summaries of the champion's training rows; the first call for a season makes them.

    :param season: ``month`` or ``weekday`` if rows are kept apart by it; None if not.
    :param groups: the months, or days of the week from 1 for Monday, that are wanted; None means all.
    :raises TableMissing: if they have not been made, and the training data is gone.
    :raises TableUnreadable: likewise, if it is damaged.
    """
    training = registry.training(client, champion)
    found = _kept(client, champion, season) or _make(client, champion, training, season)
    wanted = [columns for group, columns in found.items() if groups is None or group in map(str, groups)]
    # Without a row of that season there is an empty summary, which says so.
    chosen = wanted or [
        {name: summary.empty(each.kind) for name, each in columns.items()} for columns in found.values()
    ]
    return DriftReference(training, {name: summary.merge(each[name] for each in chosen) for name in chosen[0]})


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
    numbers, categories = [*features.numeric, PREDICTION], list(features.categorical)
    (categories if training.task == "classification" else numbers).append(TARGET)
    beside = {None: 0, "month": 11, "weekday": 6}[season]
    parts: dict[str, Summariser] = {}
    for batch in _rows(client, champion, training, target):
        for group, rows in _apart(batch, training.dataset.event_time, season):
            parts.setdefault(group, Summariser(numbers, categories, beside)).add(rows)
    found = {
        group: part.columns() for group, part in (parts or {_ALL: Summariser(numbers, categories)}).items()
    }
    content = BytesIO()
    pq.write_table(table.to_table(found), content, compression="zstd")
    artifacts.write(client, champion.run_id, _path(season), content.getvalue())
    return found


def _rows(client: Client, champion: ModelRef, training: Training, target: str | None) -> Iterator[pa.Table]:
    """Yield the training rows with what the champion predicts of them."""
    import pyarrow as pa

    source, split = training.dataset, training.split
    names = dict.fromkeys([*training.features.names, source.event_time, *([target] if target else [])])
    fitted = models.load_version(client, champion)
    for rows in labelled.scan(source, list(names), split.start, split.cut):
        if not rows.num_rows:
            continue
        predicted = models.predict(fitted, rows, training.task)
        found = rows.append_column(TARGET, rows[target]) if target else rows
        yield found.append_column(PREDICTION, pa.array(predicted, pa.float64()))


def _apart(rows: pa.Table, time: str, season: str | None) -> Iterator[tuple[str, pa.Table]]:
    import pyarrow.compute as pc

    if season is None:
        yield _ALL, rows
        return
    of = pc.month(rows[time]) if season == "month" else pc.day_of_week(rows[time], count_from_zero=False)
    for group in pc.unique(of).to_pylist():
        yield str(group), rows.filter(pc.equal(of, group))
