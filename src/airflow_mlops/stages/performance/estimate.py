"""How good predictions probably are, while their labels are missing: confidence-based performance estimation."""

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
"""Where a version's calibration lies among the artifacts of its run."""
LEAST_ROWS = 300
"""Rows of a holdout, and of each class a tenth of them, that probabilities are calibrated on."""
_MANY = 10_000
_LINES = 40
# Of more rows an interval would be shorter, but only by what chance adds to the error of the calibration.
_DRAWN = 20_000


class Calibration:
    """What share of rows with a score is positive: a line through some points, and what it might also have been.

    :param scores: rising; none if there were too few rows to tell.
    :param shares: one line a row, with a share of label 1 for each score: first the one that fits the rows, then those
        that fit draws from the rows.
    """

    def __init__(self, scores: np.ndarray, shares: np.ndarray) -> None:
        self.scores = scores
        self.shares = shares

    def __call__(self, scores: np.ndarray, line: int = 0) -> np.ndarray:
        """Return the probability of label 1 of rows with some scores."""
        import numpy as np

        found: np.ndarray = np.interp(scores, self.scores, self.shares[line])
        return found


def calibrate(truth: np.ndarray, scores: np.ndarray, seed: int = 0) -> Calibration:
    """Learn from rows with labels how to read scores; of too few rows, without any point.

    Of many rows by isotonic regression: Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass
    Probability Estimates (2002). Of fewer that fits chance, and estimates would be too good by 0.01 to 0.02 of ROC AUC;
    these get a logistic curve of the score's logit: Platt, Probabilistic Outputs for Support Vector Machines (1999).

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
    # Threads of fits as small as these would only wait for each other.
    with threadpool_limits(1):
        return Calibration(grid, np.array([_line(truth[each], scores[each], grid) for each in draws]))


def _line(truth: np.ndarray, scores: np.ndarray, grid: np.ndarray) -> np.ndarray:
    import numpy as np
    from scipy.special import logit
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression

    if truth.size >= _MANY:
        isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, truth)
        return np.asarray(isotonic.predict(grid))
    tiny = 1e-6
    own, asked = (logit(np.clip(each, tiny, 1 - tiny)).reshape(-1, 1) for each in (scores, grid))
    return np.asarray(LogisticRegression(C=1e6).fit(own, truth).predict_proba(asked)[:, 1])


def estimate(scores: np.ndarray, calibration: Calibration, seed: int = 0) -> dict[str, Measured]:
    """Estimate every metric of classification: each row counts as label 1 by its probability, and as label 0 by the rest.

    CBPE: Kivimäki, Białek, Kuberski and Nurminen, Performance Estimation in Binary Classification Using Calibrated
    Confidence (2025). It holds while the features drift and the meaning of the labels does not: concept drift is
    invisible to it. The interval (:data:`CONFIDENCE`) is that of what labels would say that are drawn by these
    probabilities, and by those of what the calibration might also have been.

    :param scores: of the model.
    """
    import numpy as np

    probabilities = calibration(scores)
    truth = np.r_[np.ones(scores.size), np.zeros(scores.size)]
    weights = np.r_[probabilities, 1 - probabilities]
    both = np.r_[scores, scores]
    some = weights > 0
    found = {
        name: _weighted(name, truth[some], both[some], weights[some]) for name in names("classification")
    }
    errors = _errors(scores, calibration, seed)
    return {
        name: _measured(name, value, errors[name], scores.size)
        for name, value in found.items()
        if value is not None
    }


def of(
    client: Client, ref: ModelRef, training: Training, scores: np.ndarray, target: str
) -> dict[str, Measured]:
    """Estimate the metrics of a version's predictions; none if there is nothing to calibrate them by.

    They are calibrated on the version's own holdout. What that gives is kept among the artifacts of its run, so that it
    is the same ever after, and the training data is read once.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    import numpy as np

    scores = scores[np.isfinite(scores)]
    found = _kept(client, ref) or _made(client, ref, training, target)
    if found is None or not found.scores.size or not scores.size:
        return {}
    return estimate(scores, found)


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
    except (ValueError, KeyError, TypeError) as error:
        # It is copied, so a task that was killed may have left half of it.
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
    found = calibrate(truth, scores)
    said = {"scores": found.scores.tolist(), "shares": found.shares.tolist()}
    artifacts.write_json(client, ref.run_id, CALIBRATION, said)
    return found


def _weighted(name: str, truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float | None:
    from sklearn import metrics as sk

    if len(set(truth.tolist())) < 2:
        return None
    given = {"sample_weight": weights}
    compute: dict[str, Callable[[], float]] = {
        "roc_auc": lambda: sk.roc_auc_score(truth, scores, **given),
        "average_precision": lambda: sk.average_precision_score(truth, scores, **given),
        "log_loss": lambda: sk.log_loss(truth, scores, labels=[0, 1], **given),
        "brier": lambda: sk.brier_score_loss(truth, scores, labels=[0, 1], pos_label=1, **given),
        "accuracy": lambda: sk.accuracy_score(truth, scores >= 0.5, **given),
        "f1": lambda: sk.f1_score(truth, scores >= 0.5, zero_division=0.0, **given),
    }
    value = float(compute[name]())
    return value if math.isfinite(value) else None


def _errors(scores: np.ndarray, calibration: Calibration, seed: int) -> dict[str, float | None]:
    """Return the standard error of each metric: of the calibration, and of labels that are drawn by it."""
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
    known = METRICS[name]
    return Measured(value=value, low=max(known.low, value - half), high=min(known.high, value + half), n=n)
