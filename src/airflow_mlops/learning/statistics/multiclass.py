"""Metrics of more than two classes: one-vs-rest and macro forms, as numbers and as statistics of blocks.

A label that is none of the classes (:data:`airflow_mlops.learning.models.classes.UNSEEN`) counts as a class of its own, which is
never predicted and has no probability.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.metrics import F_BETA, TOP, Metric, find

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.learning.statistics.resampling import Blocks

RANKED = ("roc_auc", "average_precision")
"""Metrics of one class against the rest, averaged over the classes that the rows have."""


def measure(
    named: Metric, truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Compute one metric with scikit-learn; not a number where it is undefined.

    ``roc_auc`` and ``average_precision`` are means over the classes that the rows have, each against the rest. ``f1`` is the
    mean over the classes that are true or predicted. ``brier`` is half the sum of squares, and so lies between 0 and 1.

    :param truth: code of the class of each row.
    :param predicted: probability of each class, one column a class.
    :param weights: how much each row counts; None means that all count alike.
    :raises ValueError: if a code lies beyond the columns.
    """
    import numpy as np
    from sklearn import metrics as sk

    metric = named.name
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
            np.mean(
                [
                    score(one_hot[:, place], predicted[:, code], sample_weight=weights)
                    for place, code in enumerate(present)
                ]
            )
        )
    share = {"sample_weight": weights}
    mean, half = {"average": "macro", "zero_division": 0.0, **share}, {"scale_by_half": True, **share}
    if named.family == TOP:
        return float(np.average(_top(codes, predicted, int(named.number)), weights=weights))
    if named.family == F_BETA:
        return float(sk.fbeta_score(codes, chosen, beta=named.number, **mean))
    compute: dict[str, Callable[[], Any]] = {
        "log_loss": lambda: sk.log_loss(codes, probabilities, labels=labels, **share),
        "brier": lambda: sk.brier_score_loss(codes, probabilities, labels=labels, **half),
        "accuracy": lambda: sk.accuracy_score(codes, chosen, **share),
        "f1": lambda: sk.f1_score(codes, chosen, **mean),
        "f1_weighted": lambda: sk.f1_score(codes, chosen, **{**mean, "average": "weighted"}),
        "precision": lambda: sk.precision_score(codes, chosen, **mean),
        "recall": lambda: sk.recall_score(codes, chosen, **mean),
        "balanced_accuracy": lambda: _balanced(codes, chosen, weights),
        "matthews": lambda: sk.matthews_corrcoef(codes, chosen, **share),
        "quadratic_kappa": lambda: _quadratic_kappa(codes, chosen, predicted.shape[1], weights),
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
    named = find(metric)
    tiny = np.finfo(float).eps
    likely = np.clip(probabilities[np.arange(codes.size), codes], tiny, 1 - tiny)
    squares = np.sum(probabilities**2, axis=1) - 2 * probabilities[np.arange(codes.size), codes] + 1
    values = {"log_loss": -np.log(likely), "brier": squares / 2, "accuracy": (chosen == codes).astype(float)}
    if named and named.family == TOP:
        values[metric] = _top(codes, predicted, int(named.number))
    return [one, values[metric]], _share


def counted(
    metric: str,
    truth: np.ndarray,
    predicted: np.ndarray,
    blocks: Blocks,
    weights: np.ndarray | None = None,
) -> Callable[[np.ndarray], float]:
    """Return a function that computes a metric of drawn blocks, which must be :func:`is_counted`.

    Rows of one block that are of one class and put in one class count together, so that hundreds of classes cost no more than
    a few.

    :param weights: how much each row counts; None means that all count alike.
    """
    import numpy as np

    codes, probabilities = _with_unseen(truth, predicted)
    width, chosen = probabilities.shape[1], predicted.argmax(axis=1)
    cells, cell_of = np.unique((blocks.codes * width + codes) * width + chosen, return_inverse=True)
    rows = np.bincount(cell_of, weights=weights, minlength=cells.size)
    block, cell = np.divmod(cells, width**2)
    true, called = np.divmod(cell, width)
    right = true == called
    combine = None if metric == "quadratic_kappa" else _combine_of(metric)

    def compute(drawn: np.ndarray) -> float:
        times = rows * drawn[block]
        if combine is None:
            confusion = np.bincount(cell, weights=times, minlength=width**2).reshape(width, width)
            return _kappa_of(predicted.shape[1], confusion)
        sides = ((true, times), (called, times), (true[right], times[right]))
        counts = [np.bincount(side, weights=part, minlength=width) for side, part in sides]
        return _of_counts(combine, *counts)

    return compute


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


def _balanced(codes: np.ndarray, chosen: np.ndarray, weights: np.ndarray | None) -> float:
    import numpy as np

    classes = np.unique(codes)
    if classes.size == 1:
        return math.nan
    # scikit-learn's own warns of classes that are only predicted.
    hits, counted = chosen == codes, np.ones(codes.size) if weights is None else weights
    return float(np.mean([np.average(hits[own], weights=counted[own]) for own in codes == classes[:, None]]))


def _top(codes: np.ndarray, predicted: np.ndarray, count: int) -> np.ndarray:
    """Tell for each row whether its class is among so many with the greatest probability; of equal ones, the first.

    Not a number if there are no more classes.
    """
    import numpy as np

    if predicted.shape[1] <= count:
        return np.full(codes.size, math.nan)
    best = np.argsort(-predicted, axis=1, kind="stable")[:, :count]
    inside: np.ndarray = (best == codes[:, None]).any(axis=1).astype(float)
    return inside


def _quadratic_kappa(codes: np.ndarray, chosen: np.ndarray, width: int, weights: np.ndarray | None) -> float:
    """Return Cohen's kappa weighted by the squared distance of classes in their order; undefined with labels of no class."""
    from sklearn.metrics import cohen_kappa_score

    if (codes >= width).any():
        return math.nan
    labels = [*range(width)]
    kappa = cohen_kappa_score(codes, chosen, labels=labels, weights="quadratic", sample_weight=weights)
    return float(kappa)


def _kappa_of(width: int, confusion: np.ndarray) -> float:
    """Return what :func:`_quadratic_kappa` does, from how many rows of each class are put in each."""
    import numpy as np

    if confusion[width:].any():
        return math.nan
    counts = confusion[:width, :width]
    apart = (np.arange(width)[:, None] - np.arange(width)) ** 2
    expected = float(counts.sum(axis=1) @ apart @ counts.sum(axis=0))
    return 1 - float((apart * counts).sum()) * counts.sum() / expected if expected else math.nan


def _of_counts(
    combine: Callable[..., float], true: np.ndarray, chosen: np.ndarray, hits: np.ndarray
) -> float:
    """Compute a measure from the rows of each class: how many are true, how many are chosen, how many are both."""
    there = true + chosen > 0
    return float(combine(true[there], chosen[there], hits[there])) if there.any() else math.nan


def _combine_of(metric: str) -> Callable[..., float]:
    named = find(metric)
    if named and named.family == F_BETA:
        return partial(_mean_f_beta, named.number)
    return _OF_COUNTS[metric]


def _mean_f_beta(beta: float, true: np.ndarray, chosen: np.ndarray, hits: np.ndarray) -> float:
    return float(((1 + beta**2) * hits / (beta**2 * true + chosen)).mean())


def _mean_precision(true: np.ndarray, chosen: np.ndarray, hits: np.ndarray) -> float:
    return _mean_share(hits, chosen)


def _mean_recall(true: np.ndarray, chosen: np.ndarray, hits: np.ndarray) -> float:
    return _mean_share(hits, true)


def _mean_share(hits: np.ndarray, rows: np.ndarray) -> float:
    import numpy as np

    # Without rows there are no hits; weights may be below 1, so no least sum can stand for none.
    return float((hits / np.where(rows > 0, rows, 1)).mean())


def _balanced_of(true: np.ndarray, chosen: np.ndarray, hits: np.ndarray) -> float:
    present = true > 0
    return float((hits[present] / true[present]).mean()) if present.sum() > 1 else math.nan


def _matthews_of(true: np.ndarray, chosen: np.ndarray, hits: np.ndarray) -> float:
    """Gorodkin, Comparing Two K-Category Assignments by a K-Category Correlation Coefficient (2004)."""
    n = true.sum()
    spread = (n * n - chosen @ chosen) * (n * n - true @ true)
    return float((hits.sum() * n - true @ chosen) / math.sqrt(spread)) if spread > 0 else 0.0


_OF_COUNTS: dict[str, Callable[..., float]] = {
    "f1": partial(_mean_f_beta, 1),
    "f1_weighted": lambda true, chosen, hits: (true * 2 * hits / (true + chosen)).sum() / true.sum(),
    "precision": _mean_precision,
    "recall": _mean_recall,
    "balanced_accuracy": _balanced_of,
    "matthews": _matthews_of,
}
"""Measures of the counts of classes that are true or chosen in some row."""
_MACRO = (*RANKED, "f1", "precision", "recall", "balanced_accuracy")


def is_counted(metric: str) -> bool:
    """Tell whether a metric depends on nothing but how many rows of each class are put in each."""
    return metric == "quadratic_kappa" or metric in _OF_COUNTS or _is_f_beta(metric)


def is_macro(metric: str) -> bool:
    """Tell whether a metric is a mean over classes, however many rows each has."""
    return metric in _MACRO or _is_f_beta(metric)


def _is_f_beta(metric: str) -> bool:
    named = find(metric)
    return named is not None and named.family == F_BETA
