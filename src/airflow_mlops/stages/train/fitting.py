"""Fitting: rows of a recipe in order, and one fit at a time that a person can follow and end."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.recipe import LEAST_OF_A_CLASS, LEAST_ROWS
from airflow_mlops.exceptions import NotEnoughData, SchemaMismatch, TrainingFailed
from airflow_mlops.learning.models import classes, combine, models, pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.facts.recipe import Recipe

log = logging.getLogger(__name__)


T = TypeVar("T")


@dataclass(frozen=True)
class Data:
    """Training rows in order of event time.

    :param frame: features, as :func:`airflow_mlops.learning.models.pipeline.frame` prepares them.
    :param labels: one for each row; the code of its class for a classification.
    :param times: event time of each row.
    :param classes: the classes of a classification, in the order of their codes.
    :param remarks: what a person should know about the rows.
    """

    frame: pd.DataFrame
    labels: np.ndarray
    times: np.ndarray
    classes: tuple[str, ...] = BINARY
    remarks: tuple[str, ...] = ()

    def between(self, first: int, end: int) -> Data:
        """Return the rows from one position up to another."""
        return replace(
            self,
            frame=self.frame[first:end],
            labels=self.labels[first:end],
            times=self.times[first:end],
        )


def between(table: pa.Table, recipe: Recipe, since: datetime, until: datetime) -> pa.Table:
    """Return the rows of ``since <= event time < until``, in order of event time and key.

    The files of a table come in any order, and fitting depends on it.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    dataset = recipe.dataset
    times = table[dataset.event_time]
    moments = times.to_numpy()
    if (moments[1:] > moments[:-1]).all():
        # The rows are in order already. Finding that out takes a hundredth of the time of sorting them.
        bounds = pa.array([since, until], times.type).to_numpy(zero_copy_only=False)
        first, end = np.searchsorted(moments, bounds)
        return table.slice(first, end - first)
    kept = pc.and_(pc.greater_equal(times, since), pc.less(times, until))
    order = [(name, "ascending") for name in dict.fromkeys((dataset.event_time, *dataset.key))]
    return table.filter(kept).sort_by(order)


def data(table: pa.Table, recipe: Recipe) -> Data:
    """Return the rows that a recipe trains on.

    :raises NotEnoughData: if too few rows have a label.
    :raises SchemaMismatch: if a column is missing or has another type than its use needs.
    """
    rows = between(table, recipe, recipe.split.start, recipe.split.cut)
    labelled, labels = pipeline.labels(rows, recipe.target, recipe.task)
    if labelled.num_rows < rows.num_rows:
        log.warning("%d of %d training rows have no label.", rows.num_rows - labelled.num_rows, rows.num_rows)
    if labelled.num_rows < LEAST_ROWS:
        raise NotEnoughData(f"{labelled.num_rows} training rows have a label; {LEAST_ROWS} are needed.")
    frame = pipeline.frame(labelled, recipe.features)
    times = labelled[recipe.dataset.event_time].to_numpy()
    if recipe.task != "classification":
        return Data(frame, labels, times)
    names = recipe.classes or classes.in_order(labels, recipe.target, LEAST_OF_A_CLASS)
    here = classes.is_one_of(labels, names, recipe.target)
    if here.all():
        return Data(frame, classes.coded(labels, names, recipe.target), times, names)
    strange = f"{(~here).sum():,} of {labels.size:,} training rows have a label of {recipe.target!r} that is"
    if recipe.classes:
        raise SchemaMismatch(
            f"{strange} none of classes, which names {', '.join(names)}: name all, or leave classes out."
        )
    remark = f"{strange} in fewer than {LEAST_OF_A_CLASS} rows; they are left out, unless classes names their classes"
    log.warning("%s.", remark)
    codes = classes.coded(labels[here], names, recipe.target)
    return Data(frame[here].reset_index(drop=True), codes, times[here], names, (remark,))


def categories(recipe: Recipe, data: Data) -> dict[str, int]:
    """Count the categories of each feature in all rows of a recipe; its preprocessing depends on them."""
    return pipeline.categories(data.frame, recipe.features)


def build(
    recipe: Recipe, params: Mapping[str, Any], categories: Mapping[str, int], classes: int = 2
) -> Pipeline:
    """Build the unfitted pipeline of a recipe with chosen parameters.

    :param categories: of :func:`categories`.
    :param classes: number of classes of a classification.
    :raises TrainingFailed: if the estimator or one of its parameters does not exist or does not suit the task.
    """
    return pipeline.build(
        recipe.candidate,
        recipe.features,
        recipe.task,
        recipe.seed,
        params=params,
        categories=categories,
        classes=classes,
    )


def name_of(recipe: Recipe, params: Mapping[str, Any]) -> str:
    """Return a candidate's name and all its parameters, for messages."""
    candidate = recipe.candidate
    return f"Candidate {candidate.name!r} with { ({**candidate.params, **params}) }"


def fit(unfitted: Pipeline, data: Data, threads: int, name: str) -> Pipeline:
    """Fit a pipeline in at most some threads, and return it.

    The number of threads is set in joblib and OpenMP, and is not stored in the model.

    :param name: of the candidate and its parameters, for messages.
    :raises TrainingFailed: if the estimator refuses; its message names parameter and allowed values.
    :raises NotEnoughData: if a classifier sees one class only.
    """
    import numpy as np
    from joblib import parallel_config
    from sklearn.base import is_classifier
    from threadpoolctl import threadpool_limits

    labels, seen = data.labels, np.empty(0, np.int64)
    if is_classifier(unfitted):
        # Some libraries take only the codes 0, 1, …, and early rows may lack a class.
        seen, labels = np.unique(data.labels, return_inverse=True)
        if seen.size < 2:
            raise NotEnoughData(
                f"All {labels.size} rows to fit on have the label {data.classes[data.labels[0]]}."
            )
        if problem := combine.too_few(unfitted, data.labels, data.classes):
            raise TrainingFailed(f"{name}: {problem}.")
    # In threads: processes would import everything again, copy the rows, and outlive a task that is killed. OpenMP's
    # limit holds for this thread alone; bounded() sets that of BLAS.
    limits = threadpool_limits(threads, user_api="openmp")
    with parallel_config("threading", n_jobs=threads), limits:
        try:
            fitted = unfitted.fit(data.frame, labels)
        except Exception as error:  # functions of users, LightGBM and others raise any exception
            raise TrainingFailed(f"{name}: {error}") from error
    if seen.size:
        classes.keep(fitted, data.classes, seen.tolist())
    return fitted


def predicted(model: Pipeline, data: Data, task: str, name: str) -> np.ndarray:
    """Predict rows with a fitted model.

    :param name: of the candidate and its parameters, for messages.
    :raises TrainingFailed: if the model cannot predict them.
    """
    try:
        return models.predicted(model, data.frame, task, data.classes)
    except Exception as error:  # functions of users raise any exception
        raise TrainingFailed(f"{name}: {error}") from error
