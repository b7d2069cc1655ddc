"""The learning curve of a candidate, and a summary of its training rows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import isfinite
from time import monotonic
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.exceptions import NotEnoughData, TrainingFailed
from airflow_mlops.learning import threads
from airflow_mlops.learning.models import models
from airflow_mlops.learning.pictures.pictures import ROWS, keep, warn
from airflow_mlops.learning.pictures.style import OURS, THEIRS, label_axes, legend, make_panels
from airflow_mlops.learning.statistics import measures
from airflow_mlops.stages.train import folds

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.facts.recipe import Recipe
    from airflow_mlops.stages.train.fitting import Data
    from airflow_mlops.stores.registry.client import Client


log = logging.getLogger(__name__)

_SHARES = (16, 8, 4, 2, 1)
_COMMON_SHARES = 3
"""Shares that are fitted where the search tells what comes of all rows: the largest fits cost most, and say least more."""
# Work, not time, bounds the curve, which so is the same on any machine: values that the largest fit may be given, unless
# these are fewer rows.
_VALUES = 500_000
_ROWS = 1_000
# A guard against fits that are slow beyond what their rows tell; the picture says so.
_GUARD = 300.0  # seconds


def log_training(
    client: Client,
    run_id: str,
    recipe: Recipe,
    data: Data,
    fit: Callable[[Data], Pipeline],
    rule: DecisionRule = HALF,
    whole: float | None = None,
) -> None:
    """Log the learning curve of a candidate and a summary of its training rows; an error is logged as a warning.

    :param data: the training rows.
    :param fit: fits the candidate, with its chosen parameters, to some of the rows.
    :param rule: from which probability on the candidate calls a row positive.
    :param whole: see :func:`learning_curve`.
    """
    try:
        with threads.remarks():  # warnings about the model itself were logged when it was fitted
            curve = threads.waited(
                lambda: learning_curve(
                    fit, data, task=recipe.task, metric=recipe.metric, rule=rule, whole=whole
                ),
                "Fitting the learning curve",
            )
        drawn = {} if curve is None else {"learning_curve.png": curve}
        keep(client, run_id, drawn, ROWS, row_facts(data, recipe))
    except Exception as error:  # noqa: BLE001 - the model is fitted, and no worse without its pictures
        warn(run_id, error)


def learning_curve(
    fit: Callable[[Data], Pipeline],
    data: Data,
    *,
    task: str,
    metric: str,
    rule: DecisionRule = HALF,
    whole: float | None = None,
) -> Figure | None:
    """Draw the score on the latest fifth of the rows of a model that is fitted to more and more of the rows before.

    The curve tells whether more data, or a longer window, would help. It begins with few rows; how many the last fit gets
    depends on their number and that of the columns alone. After five minutes no further fit begins, and the picture says so.

    :param fit: fits the chosen candidate to some rows.
    :param data: training rows, in order of event time.
    :param rule: from which probability on a row is called positive.
    :param whole: the score of the candidate fitted to all rows before that fifth, where the search has measured it: half of
        them, and all, are not fitted again. None if nobody knows it.
    :returns: None if there are not two points to draw a line between.
    """
    try:
        [fold] = folds.folds(data, 1, task)
    except NotEnoughData:
        return None
    validated = folds.validated(data, fold)
    points: list[tuple[int, float | None, float | None]] = []
    most = min(fold.cut, max(_ROWS, _VALUES // data.frame.shape[1]))
    began, title = monotonic(), "Learning curve"
    for rows in sorted({most // share for share in (_SHARES if whole is None else _SHARES[:_COMMON_SHARES])}):
        if monotonic() - began > _GUARD:
            title += f", ended after {_GUARD:g} s"
            log.warning("The learning curve ends before %d of %d rows, after %g s.", rows, fold.cut, _GUARD)
            break
        fitted_to = data.between(fold.cut - rows, fold.cut)
        try:
            model = fit(fitted_to)
            points.append(
                (rows, *(_score(model, part, task, metric, rule) for part in (fitted_to, validated)))
            )
        except (NotEnoughData, TrainingFailed):
            pass  # few rows may hold one class, or none of a category
    else:
        if whole is not None:
            points.append((fold.cut, None, whole))
    described = f"rows fitted of {fold.cut:,}, the latest before validation"
    return _curve(points, title, described, metric) if len(points) > 1 else None


def _score(model: Pipeline, data: Data, task: str, metric: str, rule: DecisionRule) -> float | None:
    predicted = models.predicted(model, data.frame, task, data.classes)
    return measures.measure(metric, data.labels, predicted, rule=rule, weights=data.weights)


def _curve(
    points: list[tuple[int, float | None, float | None]], title: str, described: str, metric: str
) -> Figure:
    rows, train, validation = zip(*points, strict=True)
    figure, (axes,) = make_panels()
    for label, scores, style in (
        ("validation rows", validation, OURS),
        ("training rows", train, THEIRS),
    ):
        numbers = [float("nan") if score is None or not isfinite(score) else score for score in scores]
        axes.plot(rows, numbers, marker="o", markersize=4, label=label, **style)
    axes.set_xscale("log")
    axes.set_xticks(rows, [f"{count:,}" for count in rows], rotation=30, ha="right")
    axes.minorticks_off()
    label_axes(axes, title, described, metric)
    legend(axes)
    return figure


def row_facts(data: Data, recipe: Recipe) -> dict[str, Any]:
    """Summarise training rows: for each feature its range, the number of distinct values and the share that is missing.

    Values of categories are not kept: they may be personal.
    """
    import numpy as np

    features = {}
    for kind, names in recipe.features.kinds.items():
        for name in names:
            features[name] = {"kind": kind, **_column(data.frame[name], kind)}
    target: dict[str, Any] = {"positives": int(data.labels.sum())}
    if len(data.classes) > len(BINARY):
        counts = np.bincount(data.labels, minlength=len(data.classes)).tolist()
        target = {"classes": dict(zip(data.classes, counts, strict=True))}
    if recipe.task != "classification":
        target = {"low": float(data.labels.min()), "high": float(data.labels.max())}
    return {"rows": len(data.labels), "target": target, "features": features}


def _column(column: pd.Series, kind: str) -> dict[str, Any]:
    missing = column == "" if kind == "text" else column.isna()
    facts: dict[str, Any] = {"missing": float(missing.mean()), "values": int(column[~missing].nunique())}
    if kind in ("numeric", "dates") and facts["values"]:
        facts |= {"low": float(column.min()), "high": float(column.max())}
    return facts
