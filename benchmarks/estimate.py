"""How far estimates of performance without labels are off, and how often intervals of performance hold the truth."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.predictions import SCORE
from airflow_mlops.learning.labels.coding import Coding
from airflow_mlops.learning.labels.join import TRUTH
from airflow_mlops.learning.statistics import measures
from airflow_mlops.stages.performance import estimate, estimate_classes, metrics
from airflow_mlops.stages.performance.calibration import calibrate
from benchmarks import peer

TRIALS = int(os.environ.get("BENCHMARK_TRIALS", "200"))
"""Simulations of each case; a coverage of 95 % is then known to within 3 %."""

_METRICS = ("roc_auc", "log_loss", "brier", "accuracy")
_LARGE = 200_000
_MODELS = {
    "logistic regression": lambda: LogisticRegression(max_iter=500),
    "gradient boosting": lambda: HistGradientBoostingClassifier(max_iter=50, random_state=0),
    "random forest": lambda: RandomForestClassifier(100, random_state=0),
}
_FITTED = (
    ("too sure", 5, 3_000),
    ("too sure", 5, 20_000),
    ("logistic regression", 3, 1_000),
    ("gradient boosting", 5, 3_000),
    ("random forest", 5, 3_000),
    ("random forest", 5, 10_000),
    ("random forest", 10, 30_000),
)
"""Models of many classes, and rows that they are calibrated on."""
# Added to the second seed of a trial: equal seeds would make rows and days depend on each other.
_OTHER = 1_000_000
_START = datetime(2013, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Result:
    """What the trials of one case gave, by metric.

    :param error: mean distance from the truth.
    :param bias: mean difference to it.
    :param covered: share of the 95 % intervals that hold it.
    """

    case: str
    error: dict[str, float] = field(default_factory=dict)
    bias: dict[str, float] = field(default_factory=dict)
    covered: dict[str, float] = field(default_factory=dict)
    trials: int = TRIALS

    def line(self) -> str:
        """Return the result as a JSON object in one line."""
        rounded = {
            name: {key: round(value, 4) for key, value in getattr(self, name).items()}
            for name in ("error", "bias", "covered")
        }
        return json.dumps(
            {"work": "estimate", "case": self.case, **rounded, "nominal": 0.95, "trials": self.trials}
        )


def compare(progress: Callable[[str], None]) -> Iterator[Result]:
    """Yield the error of the estimate, by holdout and shift, and the coverage of the intervals of measured metrics."""
    other = peer.python(progress)
    for holdout in (300, 3_000, 20_000):
        for shift in (0.0, 0.7):
            progress(f"{holdout} rows of holdout, shift {shift}")
            case = f"holdout of {holdout:,}, 5,000 rows, features shifted by {shift:g} deviations"
            yield _result(
                f"estimate: {case}",
                lambda seed, holdout=holdout, shift=shift: _estimated(seed, holdout, shift),
            )
            if other and (errors := _cbpe(other, holdout, shift)):
                yield Result(f"CBPE of {peer.NAME}: {case}", *errors)
    for model, classes, holdout in _FITTED:
        for shift in (0.0, 0.7):
            progress(f"{model}, {classes} classes, {holdout} rows of holdout, shift {shift}")
            yield _result(
                f"estimate: {model}, {classes} classes, holdout of {holdout:,}, 2,000 rows, shifted by {shift:g}",
                lambda seed, model=model, classes=classes, holdout=holdout, shift=shift: _of_many(
                    seed, model, classes, holdout, shift
                ),
                max(TRIALS // 4, 2),
            )
    for days, swing in ((28, 0.0), (28, 0.25), (10, 0.25)):
        progress(f"{days} days")
        yield _result(
            f"interval: 2,000 labels of {days} days, signal of a day swings by {swing:g}",
            lambda seed, days=days, swing=swing: _measured(seed, days, swing),
        )


def _draw(
    seed: int, rows: int, shift: float = 0.0, signal: np.ndarray | float = 1.2
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, and the scores of a model that is too sure of itself."""
    random = np.random.default_rng(seed)
    feature = random.normal(shift, 1.0, rows)
    likely = 1 / (1 + np.exp(0.8 - signal * feature))
    return (random.random(rows) < likely).astype(float), 1 / (1 + np.exp(-(2 * feature + 0.3)))


def _estimated(seed: int, holdout: int, shift: float) -> dict[str, tuple[float, float, float, float]]:
    calibration = calibrate(*_draw(seed, holdout))
    truth, scores = _draw(seed + _OTHER, 5_000, shift)
    return {
        name: (estimated.value, estimated.low, estimated.high, measures.measure(name, truth, scores))
        for name, estimated in estimate.estimate(scores, calibration).items()
        if name in _METRICS
    }


def _draw_many(seed: int, rows: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return five classes, the last of them rare, and the probabilities of a model that is too sure of itself."""
    random = np.random.default_rng(seed)
    logits = random.normal([0.0] * 4 + [shift - 1.5], 1.0, (rows, 5))
    likely, sure = (np.exp(scale * logits) for scale in (1.0, 2.0))
    likely, sure = (part / part.sum(axis=1, keepdims=True) for part in (likely, sure))
    return _classes(likely, random), sure


def _classes(likely: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return (likely.cumsum(axis=1)[:, :-1] < random.random((len(likely), 1))).sum(axis=1)


def _world(seed: int, rows: int, classes: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return eight features, of which three shift, and classes that depend on their curves and products; a tenth are chance."""
    fixed, random = np.random.default_rng(classes), np.random.default_rng(seed)
    lines, curves, products = (size * fixed.normal(size=(8, classes)) for size in (1.0, 0.65, 0.4))
    features = random.normal(size=(rows, 8)) + shift * (np.arange(8) < 3)
    logits = (
        features @ lines + np.sin(1.5 * features) @ curves + (features * np.roll(features, 1, 1)) @ products
    )
    logits -= 1.5 * (np.arange(classes) == classes - 1)
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    likely = 0.9 * likely / likely.sum(axis=1, keepdims=True) + 0.1 / classes
    return features, _classes(likely, random)


@cache
def _model(model: str, classes: int) -> ClassifierMixin:
    return _MODELS[model]().fit(*_world(_LARGE, 6_000, classes))


def _predicted(
    seed: int, rows: int, model: str, classes: int, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    if model not in _MODELS:
        return _draw_many(seed, rows, shift)
    features, truth = _world(seed, rows, classes, shift)
    return truth, _model(model, classes).predict_proba(features)


@cache
def _calibrated(seed: int, model: str, classes: int, holdout: int) -> estimate_classes.SoftmaxCalibration:
    return estimate_classes.calibrate(*_predicted(seed, holdout, model, classes))


def _of_many(
    seed: int, model: str, classes: int, holdout: int, shift: float
) -> dict[str, tuple[float, float, float, float]]:
    calibration = _calibrated(seed, model, classes, holdout)
    truth, scores = _predicted(seed + _OTHER, 2_000, model, classes, shift)
    estimates = estimate_classes.estimate(scores, calibration)
    return {
        name: (estimated.value, estimated.low, estimated.high, measures.measure(name, truth, scores))
        for name, estimated in estimates.items()
    }


def _cbpe(other: Path, holdout: int, shift: float) -> tuple[dict[str, float], dict[str, float]] | None:
    """Return the error and the bias of the peer's estimates, on the same rows as ours."""
    drawn = {
        "holdouts": [_draw(seed, holdout) for seed in range(TRIALS)],
        "served": [_draw(seed + _OTHER, 5_000, shift) for seed in range(TRIALS)],
    }
    with tempfile.TemporaryDirectory(prefix="benchmark-estimate-") as folder:
        for name, trials in drawn.items():
            parts = [
                pa.table(
                    {
                        "trial": np.full(truth.size, seed),
                        "truth": truth.astype(int),
                        "score": scores,
                        "decided": (scores >= 0.5).astype(int),
                    }
                )
                for seed, (truth, scores) in enumerate(trials)
            ]
            pq.write_table(pa.concat_tables(parts), Path(folder, f"{name}.parquet"))
        report = peer.run(other, "cbpe", Path(folder))
    if report is None:
        return None
    off = {
        name: np.array(
            [
                trial_estimates[name] - measures.measure(name, *rows)
                for trial_estimates, rows in zip(report["trials"], drawn["served"], strict=True)
            ]
        )
        for name in ("roc_auc", "accuracy")
    }
    return (
        {name: float(np.abs(differences).mean()) for name, differences in off.items()},
        {name: float(differences.mean()) for name, differences in off.items()},
    )


def _measured(seed: int, days: int, swing: float) -> dict[str, tuple[float, float, float, float]]:
    """Measure some days of many; the truth is that of very many days."""
    random = np.random.default_rng(seed)
    day = np.sort(random.integers(0, days, 2_000))
    signal = np.maximum(1.2 + swing * random.normal(size=days), 0)[day]
    truth, scores = _draw(seed + _OTHER, day.size, signal=signal)
    rows = pa.table(
        {
            "at": pa.array([_START + timedelta(days=int(number)) for number in day]),
            TRUTH: truth,
            SCORE: scores,
        }
    )
    intervals = metrics.measured(
        rows, Coding("label", "classification", BINARY, BINARY), "at", "month", _METRICS
    )
    whole = _whole(swing)
    return {
        name: (interval.value, interval.low, interval.high, whole[name])
        for name, interval in intervals.items()
    }


def _whole(swing: float) -> dict[str, float]:
    if swing not in _KNOWN:
        signal = np.maximum(1.2 + swing * np.random.default_rng(0).normal(size=_LARGE), 0)
        truth, scores = _draw(_OTHER, _LARGE, signal=signal)
        _KNOWN[swing] = {name: measures.measure(name, truth, scores) for name in _METRICS}
    return _KNOWN[swing]


_KNOWN: dict[float, dict[str, float]] = {}


def _result(
    case: str, trial: Callable[[int], dict[str, tuple[float, float, float, float]]], count: int = TRIALS
) -> Result:
    trials = [trial(seed) for seed in range(count)]
    error, bias, covered = {}, {}, {}
    for name in trials[0]:
        value, low, high, truth = np.array([figures[name] for figures in trials], dtype=float).T
        error[name] = float(np.abs(value - truth).mean())
        bias[name] = float((value - truth).mean())
        covered[name] = float(((low <= truth) & (truth <= high)).mean())
    return Result(case, error, bias, covered, count)
