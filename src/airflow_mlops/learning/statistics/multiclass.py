"""Metrics of more than two classes: one-vs-rest and macro forms, as numbers and as statistics of blocks.

A label that is none of the classes (:data:`airflow_mlops.learning.models.classes.UNSEEN`) counts as a class of its own, which is
never predicted and has no probability.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

RANKED = ("roc_auc", "average_precision")
"""Metrics of one class against the rest, averaged over the classes that the rows have."""


def measure(metric: str, truth: np.ndarray, predicted: np.ndarray) -> float:
    """Compute one metric with scikit-learn; not a number where it is undefined.

    ``roc_auc`` and ``average_precision`` are means over the classes that the rows have, each against the rest. ``f1`` is the
    mean over the classes that are true or predicted. ``brier`` is half the sum of squares, and so lies between 0 and 1.

    :param truth: code of the class of each row.
    :param predicted: probability of each class, one column a class.
    :raises ValueError: if a code lies beyond the columns.
    """
    import numpy as np
    from sklearn import metrics as sk

    codes, probabilities = _with_unseen(truth, predicted)
    if not codes.size:
        return math.nan
    labels = [*range(probabilities.shape[1])]
    chosen = predicted.argmax(axis=1)
    if metric in RANKED:
        present = _present(codes, predicted.shape[1])
        if not present:
            return math.nan
        score: Callable[..., float] = sk.roc_auc_score if metric == "roc_auc" else sk.average_precision_score
        one_hot = codes[:, None] == np.array(present)
        return float(
            np.mean([score(one_hot[:, place], predicted[:, code]) for place, code in enumerate(present)])
        )
    compute: dict[str, Callable[[], Any]] = {
        "log_loss": lambda: sk.log_loss(codes, probabilities, labels=labels),
        "brier": lambda: sk.brier_score_loss(codes, probabilities, labels=labels, scale_by_half=True),
        "accuracy": lambda: sk.accuracy_score(codes, chosen),
        "f1": lambda: sk.f1_score(codes, chosen, average="macro", zero_division=0.0),
    }
    return float(compute[metric]())


def sums(
    metric: str, truth: np.ndarray, predicted: np.ndarray
) -> tuple[list[np.ndarray], Callable[..., float]]:
    """Return columns, and a function that computes a metric from their sums over rows, which are counts and shares.

    :raises KeyError: if the metric is not one that sums suffice for.
    """
    import numpy as np

    codes, probabilities = _with_unseen(truth, predicted)
    one, chosen = np.ones(codes.size), predicted.argmax(axis=1)
    if metric == "f1":
        classes = [*range(probabilities.shape[1])]
        is_true = [(codes == code).astype(float) for code in classes]
        is_chosen = [(chosen == code).astype(float) for code in classes]
        hits = [true * called for true, called in zip(is_true, is_chosen, strict=True)]
        return [*is_true, *is_chosen, *hits], _macro_f1
    tiny = np.finfo(float).eps
    likely = np.clip(probabilities[np.arange(codes.size), codes], tiny, 1 - tiny)
    squares = np.sum(probabilities**2, axis=1) - 2 * probabilities[np.arange(codes.size), codes] + 1
    values = {"log_loss": -np.log(likely), "brier": squares / 2, "accuracy": (chosen == codes).astype(float)}
    return [one, values[metric]], _share


def one_vs_rest(truth: np.ndarray, predicted: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return labels 0 and 1, and the probabilities, of each class that some rows have and others have not."""
    codes, _ = _with_unseen(truth, predicted)
    return [
        ((codes == code).astype(float), predicted[:, code]) for code in _present(codes, predicted.shape[1])
    ]


def confidence(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whether the most probable class is the true one, and its probability.

    How far these two are apart is the calibration of a classifier of many classes: Guo and others, On Calibration of Modern
    Neural Networks (2017).
    """
    chosen = predicted.argmax(axis=1)
    return (chosen == truth).astype(float), predicted.max(axis=1)


def _with_unseen(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return codes and probabilities with a class more for the labels that are none of the classes, if there are any."""
    import numpy as np

    codes, width = truth.astype(np.int64), predicted.shape[1]
    if codes.size and codes.max() >= width:
        raise ValueError(f"there are {width} classes, but a label has the code {codes.max()}")
    if not (codes < 0).any():
        return codes, predicted
    return np.where(codes < 0, width, codes), np.c_[predicted, np.zeros(len(predicted))]


def _present(codes: np.ndarray, width: int) -> Sequence[int]:
    import numpy as np

    counts = np.bincount(codes, minlength=width)[:width]
    return [int(code) for code in np.flatnonzero((counts > 0) & (counts < codes.size))]


def _share(whole: float, part: float) -> float:
    return part / whole if whole else math.nan


def _macro_f1(*counts: float) -> float:
    import numpy as np

    true, chosen, hits = np.array(counts).reshape(3, -1)
    there = true + chosen > 0
    return float(np.mean(2 * hits[there] / (true + chosen)[there])) if there.any() else math.nan
