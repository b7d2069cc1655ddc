from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from sklearn.base import is_classifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from airflow_mlops.learning.models import skops_file
from airflow_mlops.learning.models.recalibrated import Recalibrated, curve, curved


def two_classes(seed: int, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of a model, of two classes, and labels that follow them."""
    random = np.random.default_rng(seed)
    second = expit(random.normal(scale=2.0, size=rows))
    return np.column_stack([1 - second, second]), (random.random(rows) < second).astype(int)


def test_probabilities_that_mean_what_they_say_stay_as_they_are() -> None:
    probabilities, labels = two_classes(0, 40_000)
    slope, biases = curve(probabilities, labels)
    assert slope == pytest.approx(1, abs=0.05)
    assert biases == pytest.approx((0, 0), abs=0.05)
    assert curved(probabilities, 1.0, (0.0, 0.0)) == pytest.approx(probabilities, abs=1e-5)


def test_of_two_classes_it_is_the_logistic_curve_of_the_logit() -> None:
    probabilities, labels = two_classes(1)
    too_sure = expit(3 * logit(probabilities[:, 1]) + 1)
    sure = np.clip(np.column_stack([1 - too_sure, too_sure]), 1e-6, 1 - 1e-6)
    weights = np.random.default_rng(2).random(labels.size) + 0.5
    fitted = LogisticRegression(C=1e6, tol=1e-8).fit(logit(sure[:, 1:]), labels, weights)
    slope, biases = curve(sure, labels, weights)
    assert slope == pytest.approx(fitted.coef_[0, 0], rel=1e-2)
    assert curved(sure, slope, biases)[:, 1] == pytest.approx(
        fitted.predict_proba(logit(sure[:, 1:]))[:, 1], abs=1e-2
    )
    assert 0.28 < slope < 0.4


def test_of_more_classes_slope_and_shares_are_found() -> None:
    random = np.random.default_rng(3)
    likely = random.normal(size=(20_000, 3))
    true = softmax(0.5 * likely + [0, 0.7, -0.4], axis=1)
    labels = (random.random((20_000, 1)) > true.cumsum(axis=1)).sum(axis=1)
    expected = softmax(likely, axis=1)
    slope, biases = curve(expected, labels)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert biases == pytest.approx((0, 0.7, -0.4), abs=0.06)
    assert log_loss(labels, curved(expected, slope, biases)) < log_loss(labels, expected) - 0.02


def test_rows_that_a_line_separates_have_a_curve_too() -> None:
    second = np.r_[np.full(60, 0.3), np.full(60, 0.6)]
    slope, biases = curve(np.column_stack([1 - second, second]), np.repeat([0, 1], 60))
    assert np.isfinite([slope, *biases]).all()


def test_it_is_stored_and_predicts_the_same_again(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    frame = random.normal(size=(200, 2))
    model = LogisticRegression().fit(frame, frame[:, 0] > 0)
    again: Any = Recalibrated(model, 0.5, (0.0, 0.3))
    skops_file.save(again, tmp_path / "model.skops")
    loaded = skops_file.load(tmp_path / "model.skops", skops_file.digest(tmp_path / "model.skops"))
    assert (loaded.slope, loaded.biases) == (0.5, (0.0, 0.3))
    assert (loaded.predict_proba(frame) == again.predict_proba(frame)).all()
    assert (loaded.predict(frame) == again.classes_[again.predict_proba(frame).argmax(axis=1)]).all()
    assert is_classifier(again)
    assert again.get_params()["estimator__C"] == 1.0
    assert again.fit(frame, None) is again
