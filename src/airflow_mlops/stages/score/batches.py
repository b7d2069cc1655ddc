"""Predictions batch by batch: the scores of a model for some rows, and the columns that keep them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.predictions import (
    DATASET_DIGEST,
    DATASET_VERSION,
    INTERVAL,
    MODEL_DIGEST,
    MODEL_VERSION,
    SCORE,
    SCORED_AT,
)
from airflow_mlops.learning.models import models, pipeline
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

    from airflow_mlops.stores.registry.client import Client

COVERAGE = 0.9
"""Share of the true values that are meant to lie between the bounds of a prediction."""
# Rows that are predicted at a time: many, as the threads of a model wait for each other once for each tree and batch.
_ROWS = 1 << 18
_BYTES = 1 << 26


class Scores(NamedTuple):
    """The scores of a model for some rows.

    :param bounds: low and high bound of each row; None if the model offers none.
    """

    score: np.ndarray
    bounds: tuple[np.ndarray, np.ndarray] | None


class Scorer(NamedTuple):
    """A version with its fitted pipeline.

    :param task: ``classification`` or ``regression``.
    """

    ref: ModelRef
    fitted: Pipeline
    task: str

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that the pipeline needs."""
        return pipeline.features_of(self.fitted).names

    @property
    def has_interval(self) -> bool:
        """Whether the estimator can return the standard deviation of its predictions.

        Scikit-learn's Bayesian regressors and Gaussian processes take ``return_std`` for it.
        """
        import inspect

        if self.task != "regression":
            return False
        return "return_std" in inspect.signature(self.fitted[-1].predict).parameters

    def predict(self, rows: pa.Table) -> Scores:
        """Predict rows, of which there may be none.

        The bounds are those of a normal distribution around the prediction, with the standard deviation that the
        estimator returns, at :data:`COVERAGE`. Whether that share of the values does lie between them depends on how well
        the estimator knows its own errors.

        :raises SchemaMismatch: if a feature is missing or cannot be converted.
        """
        import numpy as np

        frame = pipeline.frame(rows, pipeline.features_of(self.fitted))
        if not rows.num_rows:
            nothing = np.empty(0)
            return Scores(nothing, (nothing, nothing) if self.has_interval else None)
        if not self.has_interval:
            return Scores(models.predicted(self.fitted, frame, self.task), None)
        value, deviation = self.fitted.predict(frame, return_std=True)
        half = NormalDist().inv_cdf((1 + COVERAGE) / 2) * deviation
        return Scores(value, (value - half, value + half))


def scorer(client: Client, ref: ModelRef, task: str) -> Scorer:
    """Load a version and verify its digest; raises as :func:`airflow_mlops.learning.models.models.load_version` does."""
    return Scorer(ref, models.load_version(client, ref), task)


def read(dataset: DatasetVersion, scorers: Sequence[Scorer]) -> Iterator[pa.Table]:
    """Yield the rows to predict, after a table without rows: what identifies a row, and the features that are stored."""
    import pyarrow as pa

    stored = tables.dataset(dataset.uri, dataset.version).schema.names
    features = (name for scorer in scorers for name in scorer.features if name in stored)
    reader = tables.batches(
        dataset.uri,
        version=dataset.version,
        partition=dataset.partition,
        columns=list(dict.fromkeys([*identity(dataset), *features])),
    )
    yield reader.schema.empty_table()
    waiting: list[pa.RecordBatch] = []
    for batch in reader:
        waiting.append(batch)
        if sum(map(len, waiting)) >= _ROWS or sum(batch.nbytes for batch in waiting) >= _BYTES:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def identity(dataset: DatasetVersion) -> list[str]:
    """Return the columns that identify the row of a prediction: its key and its event time."""
    return list(dict.fromkeys([*dataset.key, dataset.event_time]))


def predictions(
    rows: pa.Table, dataset: DatasetVersion, scores: Scores, ref: ModelRef, at: datetime
) -> pa.Table:
    """Return the table of one version's predictions.

    :param at: the time of scoring, which is only recorded.
    """
    import pyarrow as pa

    table = rows.select(identity(dataset)).append_column(SCORE, pa.array(scores.score, pa.float64()))
    for name, bound in zip(INTERVAL, scores.bounds or (), strict=False):
        table = table.append_column(name, pa.array(bound, pa.float64()))
    for name, value in {
        MODEL_VERSION: ref.version,
        MODEL_DIGEST: ref.digest,
        DATASET_VERSION: str(dataset.version),
        DATASET_DIGEST: dataset.digest,
    }.items():
        table = table.append_column(name, pa.repeat(pa.scalar(value, pa.string()), table.num_rows))
    times = pa.repeat(pa.scalar(at, pa.timestamp("us", "UTC")), table.num_rows)
    return tables.normalise(table.append_column(SCORED_AT, times))
