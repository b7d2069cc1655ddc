"""Fitting: rows of a recipe in order, and one fit at a time that a person can follow and end."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.recipe import LEAST_OF_A_CLASS, LEAST_ROWS
from airflow_mlops.exceptions import NotEnoughData, SchemaMismatch, TrainingFailed
from airflow_mlops.learning.labels import groups, weights
from airflow_mlops.learning.models import classes, combine, estimators, models, pipeline, routing

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
    :param weights: how much each row counts, in fits and in metrics; None means that all count alike.
    :param groups: number of each row's group; None if there are none.
    :param class_weight: ``balanced``, or how much each class counts in a fit, in the order of the classes; None means that
        all count alike.
    """

    frame: pd.DataFrame
    labels: np.ndarray
    times: np.ndarray
    classes: tuple[str, ...] = BINARY
    remarks: tuple[str, ...] = ()
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None
    class_weight: str | tuple[float, ...] | None = None

    def between(self, first: int, end: int) -> Data:
        """Return the rows from one position up to another."""
        return self.take(slice(first, end))

    def take(self, rows: slice | np.ndarray) -> Data:
        """Return some of the rows: from one position up to another, or those that are marked as True."""
        return replace(
            self,
            frame=self.frame[rows],
            labels=self.labels[rows],
            times=self.times[rows],
            weights=None if self.weights is None else self.weights[rows],
            groups=None if self.groups is None else self.groups[rows],
        )

    def sample_weights(self) -> np.ndarray | None:
        """Return how much each row counts in a fit, by itself and by its class; None if all count alike."""
        import numpy as np
        from sklearn.utils.class_weight import compute_class_weight

        if self.class_weight is None:
            return self.weights
        rows = np.ones(self.labels.size) if self.weights is None else self.weights
        if self.class_weight != "balanced":
            of_class = np.array(self.class_weight)[self.labels]
            return np.asarray(rows * of_class)
        classes, codes = np.unique(self.labels, return_inverse=True)
        balanced = compute_class_weight("balanced", classes=classes, y=self.labels, sample_weight=rows)
        return np.asarray(rows * balanced[codes])


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
    everything = Data(
        frame=pipeline.frame(labelled, recipe.features),
        labels=labels,
        times=labelled[recipe.dataset.event_time].to_numpy(),
        weights=weights.of(labelled, recipe.weights, recipe.dataset.key, some=True),
        groups=groups.codes_of(labelled, recipe.groups),
    )
    return everything if recipe.task != "classification" else _coded(everything, recipe)


def _coded(everything: Data, recipe: Recipe) -> Data:
    """Return the rows with the codes of their classes in place of labels as they are."""
    labels = everything.labels
    names = recipe.classes or classes.in_order(labels, recipe.target, LEAST_OF_A_CLASS)
    everything = replace(everything, classes=names, class_weight=_of_classes(recipe, names))
    here = classes.is_one_of(labels, names, recipe.target)
    if here.all():
        return replace(everything, labels=classes.coded(labels, names, recipe.target))
    strange = f"{(~here).sum():,} of {labels.size:,} training rows have a label of {recipe.target!r} that is"
    if recipe.classes:
        raise SchemaMismatch(
            f"{strange} none of classes, which names {', '.join(names)}: name all, or leave classes out."
        )
    remark = f"{strange} in fewer than {LEAST_OF_A_CLASS} rows; they are left out, unless classes names their classes"
    log.warning("%s.", remark)
    left = everything.take(here)
    codes = classes.coded(left.labels, names, recipe.target)
    return replace(left, frame=left.frame.reset_index(drop=True), labels=codes, remarks=(remark,))


def _of_classes(recipe: Recipe, names: tuple[str, ...]) -> str | tuple[float, ...] | None:
    by_name = recipe.class_weight
    if by_name is None or isinstance(by_name, str):
        return by_name
    if strange := [name for name in by_name if name not in names]:
        raise SchemaMismatch(
            f"train.class_weight: {strange[0]!r} is no class of {recipe.target!r}, which are {', '.join(names)}."
        )
    return tuple(by_name.get(name, 1.0) for name in names)


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
    unfitted = pipeline.build(
        recipe.candidate,
        recipe.features,
        recipe.task,
        recipe.seed,
        params=params,
        categories=categories,
        classes=classes,
    )
    for name, setting in (("weights", recipe.weights), ("class_weight", recipe.class_weight)):
        if setting is not None and (why := estimators.against_weights(unfitted)):
            raise TrainingFailed(f"Candidate {recipe.candidate.name!r}: {why}; the spec has train.{name}.")
    return unfitted


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
                f"All {labels.size} rows to fit on have the label {data.classes[data.labels[0]]}: "
                "a longer train.window, or later partitions, may bring others."
            )
    if problem := combine.too_few(unfitted, data.labels, data.classes, data.groups):
        raise TrainingFailed(f"{name}: {problem}.")
    # In threads: processes would import everything again, copy the rows, and outlive a task that is killed. OpenMP's
    # limit holds for this thread alone; bounded() sets that of BLAS.
    limits = threadpool_limits(threads, user_api="openmp")
    with parallel_config("threading", n_jobs=threads), limits:
        try:
            fitted = _fitted(unfitted, data, labels)
        except Exception as error:  # functions of users, LightGBM and others raise any exception
            raise TrainingFailed(f"{name}: {error}") from error
    if seen.size:
        classes.keep(fitted, data.classes, seen.tolist())
    return fitted


def _fitted(unfitted: Pipeline, data: Data, labels: np.ndarray) -> Pipeline:
    weights, argument = data.sample_weights(), estimators.weights_argument(unfitted)
    groups = data.groups if routing.splitting(unfitted) else None
    if groups is None and (weights is None or argument is not None):
        weighted = {} if weights is None or argument is None else {argument: weights}
        return unfitted.fit(data.frame, labels, **weighted)
    return routing.fit(unfitted, data.frame, labels, weights=weights, groups=groups)


def predicted(model: Pipeline, data: Data, task: str, name: str) -> np.ndarray:
    """Predict rows with a fitted model.

    :param name: of the candidate and its parameters, for messages.
    :raises TrainingFailed: if the model cannot predict them.
    """
    try:
        return models.predicted(model, data.frame, task, data.classes)
    except Exception as error:  # functions of users raise any exception
        raise TrainingFailed(f"{name}: {error}") from error
