"""Confidence-based performance estimation: estimate metrics of predictions whose labels are missing."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.performance import CONFIDENCE, Measured
from airflow_mlops.domain.metrics import METRICS, names
from airflow_mlops.exceptions import (
    DigestMismatch,
    ModelNotFound,
    SchemaMismatch,
    TableMissing,
    TableUnreadable,
    UntrustedModel,
)
from airflow_mlops.learning.labels import labelled
from airflow_mlops.learning.models import models, pipeline
from airflow_mlops.learning.statistics import measures
from airflow_mlops.stores.registry import artifacts

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.domain.facts.results import ModelRef
    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.registry import Training

log = logging.getLogger(__name__)

CALIBRATION = "monitor/calibration.json"
"""Path of a version's calibration among the artifacts of its run."""
LEAST_ROWS = 300
"""Minimum number of rows to calibrate probabilities on; a tenth of them must be of each class."""
_MANY = 10_000
_LINES = 40
# With more rows the interval would be only a little shorter: the error of the calibration stays, and only the
# share of chance falls.
_DRAWN = 20_000


class Calibration:
    """The share of positive rows by score, as a line through points, and lines of bootstrap draws beside it.

    :param scores: the points' scores, rising; empty if there were too few rows to calibrate on.
    :param shares: one line a row, with the share of label 1 at each score: first the line that fits the rows,
        then the lines that fit random draws of the rows.
    """

    def __init__(self, scores: np.ndarray, shares: np.ndarray) -> None:
        self.scores = scores
        self.shares = shares

    def __call__(self, scores: np.ndarray, line: int = 0) -> np.ndarray:
        """Return the probability of label 1 for each score.

        :param line: 0 for the line that fits the rows; more for those of random draws.
        """
        import numpy as np

        probabilities: np.ndarray = np.interp(scores, self.scores, self.shares[line])
        return probabilities


def calibrate(truth: np.ndarray, scores: np.ndarray, seed: int = 0) -> Calibration:
    """Fit a calibration to rows with labels; with too few rows, it has no points.

    Many rows are fitted by isotonic regression: Zadrozny and Elkan, Transforming Classifier Scores into
    Accurate Multiclass Probability Estimates (2002). On fewer rows that overfits, and estimates would be too
    good by 0.01 to 0.02 of ROC AUC; they are fitted by a logistic curve of the score's logit: Platt,
    Probabilistic Outputs for Support Vector Machines (1999).

    :param truth: labels 0 and 1.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    positives = int(truth.sum())
    if truth.size < LEAST_ROWS or min(positives, truth.size - positives) < LEAST_ROWS // 10:
        return Calibration(np.empty(0), np.empty((0, 0)))
    grid = np.unique(np.r_[np.linspace(0, 1, 101), np.quantile(scores, np.linspace(0, 1, 101))])
    random = np.random.default_rng(seed)
    draws = [np.arange(truth.size), *random.integers(0, truth.size, (_LINES, truth.size))]
    # These fits are so small that several threads would only wait for each other.
    with threadpool_limits(1):
        return Calibration(grid, np.array([_line(truth[draw], scores[draw], grid) for draw in draws]))


def _line(truth: np.ndarray, scores: np.ndarray, grid: np.ndarray) -> np.ndarray:
    import numpy as np
    from scipy.special import logit
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression

    if truth.size >= _MANY:
        isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, truth)
        return np.asarray(isotonic.predict(grid))
    tiny = 1e-6
    logits, grid_logits = (logit(np.clip(points, tiny, 1 - tiny)).reshape(-1, 1) for points in (scores, grid))
    return np.asarray(LogisticRegression(C=1e6).fit(logits, truth).predict_proba(grid_logits)[:, 1])


def estimate(scores: np.ndarray, calibration: Calibration, seed: int = 0) -> dict[str, Measured]:
    """Estimate every metric of classification: a row counts as label 1 and as label 0 by its probability.

    CBPE: Kivimäki, Białek, Kuberski and Nurminen, Performance Estimation in Binary Classification Using
    Calibrated Confidence (2025). It is valid while the features drift but the meaning of the labels does not:
    it cannot see concept drift. The interval (:data:`CONFIDENCE`) is that of the metric on random labels,
    drawn with the probabilities that the bootstrap draws of the calibration give.

    :param scores: scores of the model.
    """
    import numpy as np

    probabilities = calibration(scores)
    truth = np.r_[np.ones(scores.size), np.zeros(scores.size)]
    weights = np.r_[probabilities, 1 - probabilities]
    both = np.r_[scores, scores]
    some = weights > 0
    estimates = {
        name: _weighted(name, truth[some], both[some], weights[some]) for name in names("classification")
    }
    errors = _errors(scores, calibration, seed)
    return {
        name: _measured(name, value, errors[name], scores.size)
        for name, value in estimates.items()
        if value is not None
    }


def of(
    client: Client, ref: ModelRef, training: Training, scores: np.ndarray, target: str
) -> dict[str, Measured]:
    """Estimate the metrics of a version's predictions; none if there are no rows to calibrate on.

    The calibration is fitted to the version's own holdout and kept among the artifacts of its run, so that it
    stays the same, and the training data is read only once.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    import numpy as np

    scores = scores[np.isfinite(scores)]
    calibration = _kept(client, ref) or _made(client, ref, training, target)
    if calibration is None or not calibration.scores.size or not scores.size:
        return {}
    return estimate(scores, calibration)


def _kept(client: Client, ref: ModelRef) -> Calibration | None:
    import numpy as np

    try:
        content = artifacts.read(client, ref.run_id, CALIBRATION)
    except ModelNotFound:
        return None
    if content is None:
        return None
    try:
        kept = json.loads(content)
        scores, shares = (np.array(kept[name], dtype=float) for name in ("scores", "shares"))
        if scores.size and shares.shape[1:] != scores.shape:
            raise ValueError("as many shares as scores are needed")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        # The file is copied, so a task that was killed may have left half of it.
        log.warning("%s of run %s is damaged and made again: %s", CALIBRATION, ref.run_id, error)
        return None
    return Calibration(scores, shares)


def _made(client: Client, ref: ModelRef, training: Training, target: str) -> Calibration | None:
    source, split = training.dataset, training.split
    try:
        rows = labelled.read(source, since=split.cut, until=split.end)
        rows, truth = pipeline.labelled(rows, target, training.task)
        if not rows.num_rows:
            return None
        scores = models.predict(models.load_version(client, ref), rows, training.task)
    except (
        TableMissing,
        TableUnreadable,
        SchemaMismatch,
        ModelNotFound,
        DigestMismatch,
        UntrustedModel,
    ) as error:
        log.warning("performance cannot be estimated for version %s: %s", ref.version, error)
        return None
    calibration = calibrate(truth, scores)
    content = {"scores": calibration.scores.tolist(), "shares": calibration.shares.tolist()}
    artifacts.write_json(client, ref.run_id, CALIBRATION, content)
    return calibration


def _weighted(name: str, truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float | None:
    from sklearn import metrics as sk

    if len(set(truth.tolist())) < 2:
        return None
    options = {"sample_weight": weights}
    compute: dict[str, Callable[[], float]] = {
        "roc_auc": lambda: sk.roc_auc_score(truth, scores, **options),
        "average_precision": lambda: sk.average_precision_score(truth, scores, **options),
        "log_loss": lambda: sk.log_loss(truth, scores, labels=[0, 1], **options),
        "brier": lambda: sk.brier_score_loss(truth, scores, labels=[0, 1], pos_label=1, **options),
        "accuracy": lambda: sk.accuracy_score(truth, scores >= 0.5, **options),
        "f1": lambda: sk.f1_score(truth, scores >= 0.5, zero_division=0.0, **options),
    }
    value = float(compute[name]())
    return value if math.isfinite(value) else None


def _errors(scores: np.ndarray, calibration: Calibration, seed: int) -> dict[str, float | None]:
    """Return the standard error of each metric, from labels drawn with each line of the calibration."""
    import numpy as np

    random = np.random.default_rng(seed)
    count = min(scores.size, _DRAWN)
    drawn: dict[str, list[float]] = {name: [] for name in names("classification")}
    for line in range(1, len(calibration.shares)):
        chosen = random.choice(scores, count, replace=False)
        labels = (random.random(count) < calibration(chosen, line)).astype(float)
        for name, value in measures.metrics(labels, chosen, "classification").items():
            if value is not None:
                drawn[name].append(value)
    return {
        name: float(np.std(values, ddof=1)) if 2 * len(values) > _LINES else None
        for name, values in drawn.items()
    }


def _measured(name: str, value: float, error: float | None, n: int) -> Measured:
    from scipy.special import ndtri

    if error is None:
        return Measured(value=value, n=n)
    half = float(ndtri((1 + CONFIDENCE) / 2)) * error
    metric = METRICS[name]
    return Measured(value=value, low=max(metric.low, value - half), high=min(metric.high, value + half), n=n)
