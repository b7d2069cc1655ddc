"""Confidence-based performance estimation: estimate metrics of predictions whose labels are missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.metrics import measured as measured_names
from airflow_mlops.domain.spec.decision import COST
from airflow_mlops.learning.statistics import decisions, measures
from airflow_mlops.stages.performance.calibration import LINES, Calibration, measured

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.domain.facts.performance import Measured

# With more rows the interval would be only a little shorter: the error of the calibration stays, and only the
# share of chance falls.
_DRAWN = 20_000


def estimate(
    scores: np.ndarray,
    calibration: Calibration,
    seed: int = 0,
    rule: DecisionRule = HALF,
    counted: np.ndarray | None = None,
) -> dict[str, Measured]:
    """Estimate every metric of classification: a row counts as label 1 and as label 0 by its probability.

    CBPE: Kivimäki, Białek, Kuberski and Nurminen, Performance Estimation in Binary Classification Using
    Calibrated Confidence (2025). It is valid while the features drift but the meaning of the labels does not:
    it cannot see concept drift. The interval (:data:`CONFIDENCE`) is that of the metric on random labels,
    drawn with the probabilities that the bootstrap draws of the calibration give.

    :param scores: scores of the model.
    :param rule: from which score on the model calls a row positive, and what mistakes cost.
    :param counted: how much each row counts; None if all count alike.
    """
    import numpy as np

    probabilities = calibration(scores)
    truth = np.r_[np.ones(scores.size), np.zeros(scores.size)]
    weights = np.r_[probabilities, 1 - probabilities]
    if counted is not None:
        weights *= np.r_[counted, counted]
    both = np.r_[scores, scores]
    some = weights > 0
    estimates = {name: _weighted(name, truth[some], both[some], weights[some], rule) for name in _names(rule)}
    errors = _errors(scores, calibration, seed, rule, counted)
    return {
        name: measured(name, value, errors[name], scores.size)
        for name, value in estimates.items()
        if value is not None
    }


def _names(rule: DecisionRule) -> tuple[str, ...]:
    return measured_names("classification", [COST] if rule.costs else [])


def _weighted(
    name: str, truth: np.ndarray, scores: np.ndarray, weights: np.ndarray, rule: DecisionRule
) -> float | None:
    import numpy as np
    from sklearn import metrics as sk

    if len(set(truth.tolist())) < 2:
        return None
    options, called = {"sample_weight": weights}, decisions.chosen(scores, rule)
    compute: dict[str, Callable[[], float]] = {
        "roc_auc": lambda: sk.roc_auc_score(truth, scores, **options),
        "average_precision": lambda: sk.average_precision_score(truth, scores, **options),
        "log_loss": lambda: sk.log_loss(truth, scores, labels=[0, 1], **options),
        "brier": lambda: sk.brier_score_loss(truth, scores, labels=[0, 1], pos_label=1, **options),
        "accuracy": lambda: sk.accuracy_score(truth, called, **options),
        "f1": lambda: sk.f1_score(truth, called, zero_division=0.0, **options),
        COST: lambda: np.average(decisions.costs(truth, called, rule), weights=weights),
    }
    value = float(compute[name]())
    return value if math.isfinite(value) else None


def _errors(
    scores: np.ndarray, calibration: Calibration, seed: int, rule: DecisionRule, counted: np.ndarray | None
) -> dict[str, float | None]:
    """Return the standard error of each metric, from labels drawn with each line of the calibration."""
    import numpy as np

    random = np.random.default_rng(seed)
    count = min(scores.size, _DRAWN)
    drawn: dict[str, list[float]] = {name: [] for name in _names(rule)}
    for line in range(1, len(calibration.shares)):
        places = random.choice(scores.size, count, replace=False)
        chosen, weights = scores[places], None if counted is None else counted[places]
        labels = (random.random(count) < calibration(chosen, line)).astype(float)
        values = measures.metrics(labels, chosen, "classification", drawn, rule=rule, weights=weights)
        for name, value in values.items():
            if value is not None:
                drawn[name].append(value)
    return {
        name: float(np.std(values, ddof=1)) if 2 * len(values) > LINES else None
        for name, values in drawn.items()
    }
