"""Predictions batch by batch: the scores of a model for some rows, and the columns that keep them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.decision import DecisionRule
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.predictions import (
    DATASET_DIGEST,
    DATASET_VERSION,
    INTERVAL,
    MODEL_DIGEST,
    MODEL_VERSION,
    PREDICTION,
    PROBABILITIES,
    SCORE,
    SCORED_AT,
)
from airflow_mlops.learning.models import classes as label_classes
from airflow_mlops.learning.models import intervals, models, pipeline, thresholds
from airflow_mlops.learning.statistics import decisions
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

    from airflow_mlops.stores.registry.client import Client

# Rows that are predicted at a time: many, as the threads of a model wait for each other once for each tree and batch.
_ROWS = 1 << 18
_BYTES = 1 << 26


class Scores(NamedTuple):
    """The scores of a model for some rows.

    :param bounds: low and high bound of each row; None if the model offers none.
    :param chosen: the class of each row, by name; None for a regression.
    :param probabilities: one column a class; None but for classifiers of more than two classes.
    """

    score: np.ndarray
    bounds: tuple[np.ndarray, np.ndarray] | None = None
    chosen: np.ndarray | None = None
    probabilities: np.ndarray | None = None


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
    def classes(self) -> tuple[str, ...]:
        """The classes that the pipeline tells apart, in the order of its probabilities; none for a regression."""
        return label_classes.of(self.fitted).names if self.task == "classification" else ()

    def arranged(self, scores: Scores, classes: Sequence[str]) -> Scores:
        """Return scores of this version as those of some classes: of the second of two, or a probability for each of more."""
        import numpy as np

        if tuple(classes) == self.classes:
            return scores
        matrix = scores.probabilities
        if matrix is None:
            matrix = np.stack([1 - scores.score, scores.score], axis=1)
        own = label_classes.ModelClasses(self.classes, tuple(range(len(self.classes))))
        probabilities = label_classes.arranged(own, matrix, classes)
        if probabilities.ndim == 1:
            return scores._replace(score=probabilities)
        return scores._replace(probabilities=probabilities)

    def predict(self, rows: pa.Table) -> Scores:
        """Predict rows, of which there may be none; see :func:`airflow_mlops.learning.models.intervals.predict` for bounds.

        :raises SchemaMismatch: if a feature is missing or cannot be converted.
        """
        import numpy as np

        frame = pipeline.frame(rows, pipeline.features_of(self.fitted))
        nothing = np.empty(0)
        if self.task == "classification":
            names = np.array(self.classes, dtype=object)
            none = nothing if names.size == len(BINARY) else np.empty((0, names.size))
            return _of_classes(
                models.predicted(self.fitted, frame, self.task) if rows.num_rows else none,
                names,
                thresholds.of(self.fitted),
            )
        if not rows.num_rows:
            return Scores(nothing, (nothing, nothing) if intervals.has_bounds(self.fitted) else None)
        return Scores(*intervals.predict(self.fitted, frame))


def _of_classes(predicted: np.ndarray, names: np.ndarray, rule: DecisionRule) -> Scores:
    import numpy as np

    codes = decisions.chosen(predicted, rule)
    if predicted.ndim == 1:
        return Scores(predicted, chosen=names[codes])
    # Not the greatest one, where costs decide.
    score = predicted[np.arange(codes.size), codes]
    return Scores(score, chosen=names[codes], probabilities=predicted)


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


def lists(probabilities: np.ndarray | None) -> pa.ListArray | None:
    """Return probabilities as a column of lists, one a row; None if there are none."""
    import numpy as np
    import pyarrow as pa

    if probabilities is None:
        return None
    rows, width = probabilities.shape
    ends = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
    return pa.ListArray.from_arrays(ends, pa.array(probabilities.ravel(), pa.float64()))


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
    if scores.chosen is not None:
        table = table.append_column(PREDICTION, pa.array(scores.chosen, pa.string()))
    if scores.probabilities is not None:
        table = table.append_column(PROBABILITIES, lists(scores.probabilities))
    for name, value in {
        MODEL_VERSION: ref.version,
        MODEL_DIGEST: ref.digest,
        DATASET_VERSION: str(dataset.version),
        DATASET_DIGEST: dataset.digest,
    }.items():
        table = table.append_column(name, pa.repeat(pa.scalar(value, pa.string()), table.num_rows))
    times = pa.repeat(pa.scalar(at, pa.timestamp("us", "UTC")), table.num_rows)
    return tables.normalise(table.append_column(SCORED_AT, times))
