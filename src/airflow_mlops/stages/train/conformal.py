"""Bounds of a regression: calibrated on the latest training rows, which the model is not fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.estimators import QUANTILE_LOSSES
from airflow_mlops.domain.facts.intervals import CalibratedIntervals
from airflow_mlops.domain.facts.recipe import LEAST_ROWS, Recipe
from airflow_mlops.domain.spec.candidates import Candidate
from airflow_mlops.exceptions import NotEnoughData, TrainingFailed
from airflow_mlops.learning import threads
from airflow_mlops.learning.models import aliases, intervals
from airflow_mlops.stages.train import fitting, folds

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.spec.intervals import PredictionIntervals

_DEFAULT = "sklearn.ensemble.HistGradientBoostingRegressor"


def parts(
    data: fitting.Data, section: PredictionIntervals | None
) -> tuple[fitting.Data, fitting.Data | None]:
    """Return the rows that a model is fitted to, and the later ones that its bounds are calibrated on.

    Rows of one time stay together; of groups, only the later rows of new ones are there to calibrate on.

    :param section: None if the model is to have no bounds; there are no rows to calibrate on then.
    :raises NotEnoughData: if either part has too few rows, with the number that it needs.
    """
    import numpy as np

    if section is None:
        return data, None
    rows = data.times.size
    first = int(rows * (1 - section.calibration))
    cut = int(np.searchsorted(data.times, data.times[first]))
    least = max(LEAST_ROWS, intervals.least_rows(section.coverage))
    held = folds.validated(data, folds.Fold(cut, rows))
    if held.labels.size < least or cut < LEAST_ROWS:
        raise NotEnoughData(
            f"train.intervals: of {rows:,} training rows, {cut:,} are to fit and the latest {held.labels.size:,} to calibrate on; "
            f"{LEAST_ROWS} and, for a coverage of {section.coverage:g}, {least:,} are needed: train on more rows, or change "
            "train.intervals.calibration."
        )
    return data.between(0, cut), held


def calibrate(
    fitted: Pipeline, recipe: Recipe, params: Mapping[str, Any], data: fitting.Data, held: fitting.Data
) -> None:
    """Give a fitted pipeline its bounds.

    :param params: the parameters that it was fitted with beside those of the recipe's candidate.
    :param data: the rows that it was fitted to.
    :param held: the rows to calibrate on.
    :raises TrainingFailed: if the bounds cannot be fitted, or what is predicted of the rows is no finite number.
    """
    import numpy as np

    section = recipe.intervals
    assert section is not None
    low = high = None
    if section.method == "quantile":
        miss = (1 - section.coverage) / 2
        low, high = (_quantile(recipe, params, data, level) for level in (miss, 1 - miss))
    name = fitting.name_of(recipe, params)
    values = fitting.predicted(fitted, held, recipe.task, name)
    bounds = intervals.uncalibrated(low, high, held.frame, values)
    if not all(np.isfinite(numbers).all() for numbers in (values, *bounds)):
        raise TrainingFailed(
            f"{name} predicts what is no finite number, so that its bounds cannot be calibrated"
        )
    facts = CalibratedIntervals(
        coverage=section.coverage,
        method=section.method,
        rows=held.labels.size,
        margin=intervals.margin(held.labels, bounds, section.coverage),
    )
    intervals.keep(fitted, intervals.Conformal(facts, low, high))


def _quantile(recipe: Recipe, params: Mapping[str, Any], data: fitting.Data, level: float) -> Pipeline:
    """Fit a quantile: by the candidate's own estimator if it has such a loss, else by gradient boosting."""
    candidate = recipe.candidate
    own = candidate.estimator in QUANTILE_LOSSES
    settings, parameter = QUANTILE_LOSSES[candidate.estimator if own else _DEFAULT]
    chosen = {**settings, parameter: level}
    if own:
        # A loss under another of its names would go before the quantile's, without a word.
        theirs = aliases.without(candidate.params, [*chosen], candidate.estimator)
        twin = candidate.model_copy(update={"params": theirs})
        chosen = {**aliases.without(params, [*chosen], candidate.estimator), **chosen}
    else:
        twin = Candidate(estimator=_DEFAULT, name=candidate.name)
    twin_recipe = recipe.model_copy(update={"candidate": twin})
    unfitted = fitting.build(twin_recipe, chosen, fitting.categories(twin_recipe, data))
    return fitting.fit(unfitted, data, threads.per_fit(), fitting.name_of(twin_recipe, chosen))
