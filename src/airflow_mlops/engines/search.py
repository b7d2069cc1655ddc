"""Search: try the parameters of a candidate on rows later than those it is fitted on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.metrics import METRICS
from airflow_mlops.engines import models, performance
from airflow_mlops.exceptions import NotEnoughData, TrainingFailed

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.spec import Budget, Candidate

log = logging.getLogger(__name__)

_VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class Data:
    """Training rows in order of event time.

    :param frame: features, as :func:`airflow_mlops.engines.pipeline.frame` prepares them.
    :param labels: one for each row.
    :param times: event time of each row.
    """

    frame: pd.DataFrame
    labels: np.ndarray
    times: np.ndarray

    def until(self, row: int) -> Data:
        """Return the rows before a position."""
        return Data(self.frame[:row], self.labels[:row], self.times[:row])


@dataclass(frozen=True)
class Found:
    """The best parameters.

    :param params: those that were searched for.
    :param inner: every metric of theirs on the validation rows.
    """

    params: dict[str, Any]
    inner: dict[str, float | None]


def search(
    unfitted: Pipeline, candidate: Candidate, data: Data, metric: str, task: str, budget: Budget, seed: int
) -> Found:
    """Try combinations of a candidate's parameters; the latest fifth of the rows is what they are compared on.

    All combinations are tried if the budget allows for as many trials, else a random sample of them. A candidate
    that searches for nothing has one trial. Of equals, the first wins.

    :raises TrainingFailed: if a combination cannot be fitted.
    :raises NotEnoughData: if the metric is undefined on the validation rows.
    """
    sign = 1 if METRICS[metric].greater_is_better else -1
    cut = _validation_start(data.times)
    began, trials = monotonic(), _trials(candidate, budget, seed)
    scored: list[tuple[float, Found]] = []
    for number, params in enumerate(trials):
        if number and monotonic() - began > budget.seconds:
            log.warning(
                "Candidate %r: %d of %d trials were done when their %g s were over. Another time it may be another "
                "number, so this training may not be reproducible.",
                candidate.name, number, len(trials), budget.seconds,
            )  # fmt: skip
            break
        model = fit(unfitted, candidate, params, data.until(cut))
        inner = performance.metrics(data.labels[cut:], models.predicted(model, data.frame[cut:], task), task)
        value = inner[metric]
        if value is not None:
            scored.append((sign * value, Found(params, inner)))
    if not scored:
        raise NotEnoughData(f"{metric} is undefined on the {data.labels.size - cut} latest training rows.")
    return max(scored, key=lambda each: each[0])[1]


def _validation_start(times: np.ndarray) -> int:
    import numpy as np

    at = int(times.size * (1 - _VALIDATION_SHARE))
    # Rows of one time stay together, unless it is the time of them all.
    return int(np.searchsorted(times, times[at])) or at


def _trials(candidate: Candidate, budget: Budget, seed: int) -> list[dict[str, Any]]:
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    grid = ParameterGrid(candidate.search)  # of nothing: one combination of nothing
    if len(grid) <= budget.trials:
        return list(grid)
    return list(ParameterSampler(candidate.search, budget.trials, random_state=seed))


def fit(unfitted: Pipeline, candidate: Candidate, params: Mapping[str, Any], data: Data) -> Pipeline:
    """Fit a copy of a pipeline with some parameters of its estimator.

    :raises TrainingFailed: if scikit-learn refuses; its message names parameter and allowed values.
    :raises NotEnoughData: if a classifier sees one class only.
    """
    import numpy as np
    from sklearn.base import clone, is_classifier

    if is_classifier(unfitted) and np.unique(data.labels).size < 2:
        raise NotEnoughData(f"All {data.labels.size} rows to fit on have the label {data.labels[0]}.")
    model = clone(unfitted).set_params(**{f"model__{name}": value for name, value in params.items()})
    try:
        return model.fit(data.frame, data.labels)
    except (ValueError, TypeError, ArithmeticError) as error:
        tried = {**candidate.params, **params}
        raise TrainingFailed(f"Candidate {candidate.name!r} with {tried}: {error}") from error
