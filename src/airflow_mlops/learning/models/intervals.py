"""Bounds of predicted numbers: kept within the fitted pipeline, or told by an estimator that knows its own spread."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.facts.intervals import CalibratedIntervals
from airflow_mlops.learning.models import models, pipeline
from airflow_mlops.stores.registry import registry

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.facts.results import ModelRef
    from airflow_mlops.stores.registry.client import Client

Bounds = tuple["np.ndarray", "np.ndarray"]

SPREAD_COVERAGE = 0.9
"""Share of the true values that are meant to lie between the bounds of an estimator that tells its own spread."""
TAG = "mlops.intervals"
"""Tag of versions: how their bounds were calibrated; versions without calibrated bounds have none."""
_FACTS, _LOW, _HIGH = "mlops_intervals_", "mlops_low_", "mlops_high_"


class Conformal(NamedTuple):
    """What a fitted pipeline keeps about its bounds.

    :param low: pipeline that predicts the lower quantile, and ``high`` the upper one; None for bounds around the prediction.
    """

    facts: CalibratedIntervals
    low: Pipeline | None = None
    high: Pipeline | None = None

    def bounds(self, frame: pd.DataFrame, values: np.ndarray) -> Bounds:
        """Return the bounds of predictions; where calibration leaves nothing between them, both lie in the middle.

        :param values: what the pipeline itself predicts.
        """
        import numpy as np

        low, high = uncalibrated(self.low, self.high, frame, values)
        low, high = low - self.facts.margin, high + self.facts.margin
        middle = (low + high) / 2
        return np.minimum(low, middle), np.maximum(high, middle)


def uncalibrated(
    low: Pipeline | None, high: Pipeline | None, frame: pd.DataFrame, values: np.ndarray
) -> Bounds:
    """Return what calibration begins with: two predicted quantiles, the smaller first, or the prediction twice."""
    import numpy as np

    if low is None or high is None:
        return values, values
    ends = low.predict(frame), high.predict(frame)
    return np.minimum(*ends), np.maximum(*ends)


def margin(truth: np.ndarray, bounds: Bounds, coverage: float) -> float:
    """Return what has to be added to either side, so that a share of new values lies between the bounds.

    It is the ⌈(n + 1) · coverage⌉-th smallest of how far values lie outside of their bounds (inside counts below zero). Then
    at least that share of values that are drawn like these lies between the bounds, on average over draws of both: Lei,
    G'Sell, Rinaldo, Tibshirani and Wasserman, Distribution-Free Predictive Inference for Regression (2018), for bounds
    around a prediction; Romano, Patterson and Candès, Conformalized Quantile Regression (2019), for quantiles.

    :param truth: values that the bounds' models were not fitted to, of which there are at least :func:`least_rows`.
    """
    import numpy as np

    outside = np.maximum(bounds[0] - truth, truth - bounds[1])
    rank = ceil((outside.size + 1) * Fraction(str(coverage)))
    return float(np.partition(outside, rank - 1)[rank - 1])


def least_rows(coverage: float) -> int:
    """Return how many values :func:`margin` needs: of fewer, none is as far out as such a share asks for."""
    share = Fraction(str(coverage))
    return ceil(share / (1 - share))


def keep(fitted: Pipeline, conformal: Conformal) -> None:
    """Keep bounds within a pipeline, so that its digest covers them."""
    setattr(fitted, _FACTS, conformal.facts.to_dict())
    if conformal.low is not None:
        setattr(fitted, _LOW, conformal.low)
        setattr(fitted, _HIGH, conformal.high)


def of(fitted: Pipeline) -> Conformal | None:
    """Return the bounds that a fitted pipeline keeps; None if it keeps none."""
    facts = getattr(fitted, _FACTS, None)
    if facts is None:
        return None
    return Conformal(
        CalibratedIntervals.from_dict(facts), getattr(fitted, _LOW, None), getattr(fitted, _HIGH, None)
    )


def has_bounds(fitted: Pipeline) -> bool:
    """Tell whether a regression has bounds: calibrated ones, or those of an estimator that tells its own spread.

    Scikit-learn's Bayesian regressors and Gaussian processes take ``return_std`` for that.
    """
    return of(fitted) is not None or "return_std" in inspect.signature(fitted[-1].predict).parameters


def predict(
    fitted: Pipeline, frame: pd.DataFrame, task: str = "regression", classes: Sequence[str] | None = None
) -> tuple[np.ndarray, Bounds | None]:
    """Return what :func:`airflow_mlops.learning.models.models.predicted` does, and the bounds of values that have any.

    Bounds that were not calibrated are those of a normal distribution around the prediction, with the standard deviation
    that the estimator returns, at :data:`SPREAD_COVERAGE`. Whether that share of the values does lie between them depends on
    how well the estimator knows its own errors.

    :param frame: rows as :func:`airflow_mlops.learning.models.pipeline.frame` prepares them.
    """
    conformal = of(fitted) if task == "regression" else None
    if task == "regression" and conformal is None and has_bounds(fitted):
        value, deviation = fitted.predict(frame, return_std=True)
        half = NormalDist().inv_cdf((1 + SPREAD_COVERAGE) / 2) * deviation
        return value, (value - half, value + half)
    value = models.predicted(fitted, frame, task, classes)
    return value, None if conformal is None else conformal.bounds(frame, value)


def predict_intervals(model: Pipeline, rows: pa.Table | pd.DataFrame) -> tuple[np.ndarray, Bounds | None]:
    """Return the predicted values of a regression, and their low and high bounds; None if it has none.

    :param rows: rows with at least the model's features, of any types that :func:`pipeline.frame` converts.
    :raises SchemaMismatch: if a feature is missing or cannot be converted.
    """
    return predict(model, pipeline.frame(rows, pipeline.features_of(model)))


def nominal(client: Client, ref: ModelRef) -> float:
    """Return which share of the true values a version's bounds are meant to hold.

    :raises ModelNotFound: if there is no such version; also DigestMismatch.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    facts = registry.short_tags(client, ref).get(TAG)
    return SPREAD_COVERAGE if facts is None else CalibratedIntervals.model_validate_json(facts).coverage
