"""Measuring: the training metric of one fit on rows that are later than those it is fitted to."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.exceptions import TrainingFailed
from airflow_mlops.learning.models import own_metrics
from airflow_mlops.learning.statistics import measures
from airflow_mlops.stages.train import decision, fitting, folds

if TYPE_CHECKING:
    import numpy as np
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.facts.decision import DecisionRule
    from airflow_mlops.domain.facts.recipe import Recipe
    from airflow_mlops.stages.train.folds import Fold


class Measurement(NamedTuple):
    """The score of one fit.

    :param value: None if it is undefined, or if the fit failed.
    """

    value: float | None
    seconds: float
    error: str = ""


@own_metrics.scoped(lambda unfitted, data, fold, recipe, *_: recipe)
def on_fold(
    unfitted: Pipeline, data: fitting.Data, fold: Fold, recipe: Recipe, params: dict[str, Any], n_threads: int
) -> Measurement:
    """Fit to the rows before a fold, and measure on the rows of the fold; may run on another machine."""
    from sklearn.base import clone

    began, name = monotonic(), fitting.name_of(recipe, params)
    before, later = data.between(0, fold.cut), folds.validated(data, fold)
    try:
        value = later_rows(clone(unfitted), before, later, recipe, name, n_threads)
    except TrainingFailed as error:
        return Measurement(None, monotonic() - began, str(error))
    except ValueError as error:  # predictions that are not finite
        return Measurement(None, monotonic() - began, f"{name}: {error}")
    return Measurement(value, monotonic() - began)


def later_rows(
    unfitted: Pipeline, before: fitting.Data, later: fitting.Data, recipe: Recipe, name: str, n_threads: int
) -> float | None:
    """Fit to some rows, and return the metric of a recipe on later ones; None if it is undefined there.

    :raises: as :func:`predict_later`.
    """
    predicted, rule = predict_later(unfitted, before, later, recipe, name, n_threads)
    return measures.measure(recipe.metric, later.labels, predicted, rule=rule, weights=later.weights)


def predict_later(
    unfitted: Pipeline, before: fitting.Data, later: fitting.Data, recipe: Recipe, name: str, n_threads: int
) -> tuple[np.ndarray, DecisionRule]:
    """Fit to some rows, and predict later ones; return what was predicted, and the rule by which a class is chosen of it.

    :param name: of the candidate and its parameters, for messages.
    :raises TrainingFailed: if it cannot be fitted, or cannot predict.
    :raises NotEnoughData: if the rows to fit on are of one class.
    :raises ValueError: if predictions are not finite.
    """
    model = fitting.fit(unfitted, before, n_threads, name)
    predicted = fitting.predicted(model, later, recipe.task, name)
    return predicted, decision.suiting(recipe, later, predicted, before)
