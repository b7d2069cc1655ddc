"""Statistics that can be computed again for any draw of blocks, by sums or by ranks."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.metrics import F_BETA, TOP, find
from airflow_mlops.domain.spec.decision import COST
from airflow_mlops.learning.statistics import counts, decisions, errors, multiclass, own
from airflow_mlops.learning.statistics.ranks import ranked
from airflow_mlops.learning.statistics.resampling import Blocks, Statistic

if TYPE_CHECKING:
    import numpy as np

_BINS = 10
_ROWS_PER_BIN = 100


def statistic(
    measure: str,
    truth: np.ndarray,
    predicted: np.ndarray,
    blocks: Blocks,
    rule: DecisionRule = HALF,
    weights: np.ndarray | None = None,
) -> Statistic:
    """Return a metric, as :func:`measures.measure` computes it, a rate or ``calibration`` as a statistic.

    :param measure: metric, ``selection_rate``, ``true_positive_rate``, ``false_positive_rate``, or ``calibration``: the
        expected calibration error of at most ten bins of as many rows each, at least a hundred: Naeini and others,
        Obtaining Well Calibrated Probabilities Using Bayesian Binning (2015), and Nixon and others, Measuring Calibration
        in Deep Learning (2019), for equal counts.
    :param blocks: rows that depend on each other.
    :param rule: from which probability on the version calls a row positive.
    :param weights: how much each row counts; None means that all count alike.
    """
    import numpy as np

    truth, predicted = np.asarray(truth, dtype=float), np.asarray(predicted, dtype=float)
    predicted = decisions.decided(measure, predicted, rule)
    counted = np.ones(truth.size) if weights is None else np.asarray(weights, dtype=float)
    if predicted.ndim == 2 and measure == "calibration":
        truth, predicted = multiclass.confidence(truth, predicted)
    named = find(measure)
    if named and named.function:
        compute = own.drawn(named, truth, predicted, blocks.codes, weights)
    elif measure == "median_absolute_error":
        compute = errors.median(truth, predicted, blocks.codes, counted)
    elif measure in multiclass.RANKED:
        compute = _ranked_of_each(measure, truth, predicted, blocks, weights)
    elif predicted.ndim == 2 and multiclass.is_counted(measure):
        compute = multiclass.counted(measure, truth, predicted, blocks, weights)
    else:
        columns, combine = _columns(measure, truth, predicted, rule)
        totals = np.array(
            [
                np.bincount(blocks.codes, weights=column * counted, minlength=blocks.count)
                for column in columns
            ]
        )
        compute = partial(_combined, combine, totals)
    return Statistic(
        compute, blocks.support(part * counted for part in _informing(measure, truth, predicted))
    )


def mean(values: np.ndarray, blocks: Blocks, weights: np.ndarray | None = None) -> Statistic:
    """Return the mean of a value of each row as a statistic.

    :param weights: how much each row counts; None means that all count alike.
    """
    import numpy as np

    one = np.ones(values.size) if weights is None else np.asarray(weights, dtype=float)
    totals = np.array(
        [np.bincount(blocks.codes, weights=column, minlength=blocks.count) for column in (one, one * values)]
    )
    return Statistic(partial(_combined, _share, totals), blocks.support([one]))


def _ranked_of_each(
    measure: str, truth: np.ndarray, predicted: np.ndarray, blocks: Blocks, weights: np.ndarray | None
) -> Callable[[np.ndarray], float]:
    """Return the function that computes a measure of ranks; of many classes, the mean over those that were drawn."""
    import numpy as np

    if predicted.ndim == 1:
        return ranked(measure, truth, predicted, blocks, weights)
    parts = [ranked(measure, *pair, blocks, weights) for pair in multiclass.one_vs_rest(truth, predicted)]

    def compute(drawn: np.ndarray) -> float:
        values = np.array([part(drawn) for part in parts])
        defined = values[np.isfinite(values)]
        return float(defined.mean()) if defined.size else math.nan

    return compute


def _informing(measure: str, truth: np.ndarray, predicted: np.ndarray) -> list[np.ndarray]:
    """Return the weights of rows for a measure; those of weight 0 say nothing, however many days they fill."""
    import numpy as np

    if predicted.ndim == 2:
        # A mean over classes is known no better than for the class that fills the fewest days.
        macro = multiclass.is_macro(measure)
        kinds = [labels for labels, _ in multiclass.one_vs_rest(truth, predicted)]
        return kinds if macro and kinds else [np.ones(truth.size)]
    if measure in multiclass.RANKED:
        return [truth, 1 - truth]
    named = find(measure)
    if named and named.function:
        return [np.ones(truth.size)]
    if measure in ("f1", "recall", "true_positive_rate") or (named and named.family == F_BETA):
        return [truth]
    if measure == "precision":
        return [(predicted >= 0.5).astype(float)]
    if measure in counts.BOTH_CLASSES:
        return [truth, 1 - truth]
    return [1 - truth if measure == "false_positive_rate" else np.ones(truth.size)]


def _combined(combine: Callable[..., float], sums: np.ndarray, drawn: np.ndarray) -> float:
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        # Not by BLAS, whose threads wait for each other where other processes have the processors.
        return float(combine(*np.einsum("ij,j->i", sums, drawn)))


def _columns(
    measure: str, truth: np.ndarray, predicted: np.ndarray, rule: DecisionRule
) -> tuple[list[np.ndarray], Callable[..., float]]:
    import numpy as np

    if measure == COST:
        return [np.ones(truth.size), decisions.costs(truth, predicted, rule)], _share
    return (multiclass.sums if predicted.ndim == 2 else _sums)(measure, truth, predicted)


def _sums(
    measure: str, truth: np.ndarray, predicted: np.ndarray
) -> tuple[list[np.ndarray], Callable[..., float]]:
    """Return columns, and a function that computes a measure from their sums over rows."""
    import numpy as np

    one = np.ones(truth.size)
    if measure == "calibration":
        gaps = predicted - truth
        return [one, *(gaps * inside for inside in _bins(predicted))], _calibration
    named = find(measure)
    if named and named.task == "regression":
        return errors.sums(measure, truth, predicted)
    called = predicted >= 0.5
    # As scikit-learn does: no logarithm of zero.
    tiny = np.finfo(float).eps
    likely = np.clip(np.where(truth == 1, predicted, 1 - predicted), tiny, 1 - tiny)
    right, wrong, negative = called * truth, called * (1 - truth), 1 - truth
    if measure == "f1" or (named and named.family == F_BETA):
        beta = named.number if named and named.family else 1
        return [truth, right, wrong], partial(counts.f_beta, beta)
    if measure in counts.OF_COUNTS:
        return [truth, negative, right, wrong], counts.OF_COUNTS[measure]
    if named and named.family == TOP:
        right_or_not = called == truth if named.number == 1 else one * math.nan
        return [one, right_or_not], _share
    shares = {
        "log_loss": (one, -np.log(likely)),
        "brier": (one, (predicted - truth) ** 2),
        "accuracy": (one, called == truth),
        "selection_rate": (one, called),
        "precision": (called, right),
        "recall": (truth, right),
        "true_positive_rate": (truth, right),
        "false_positive_rate": (negative, wrong),
    }
    return [*shares[measure]], _share


def _share(whole: float, part: float) -> float:
    return part / whole if whole else math.nan


def _calibration(n: float, *gaps: float) -> float:
    return sum(map(abs, gaps)) / n if n else math.nan


def _bins(predicted: np.ndarray) -> list[np.ndarray]:
    import numpy as np

    number = int(np.clip(predicted.size // _ROWS_PER_BIN, 1, _BINS))
    # Equal predictions stay together, so there may be fewer.
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, number + 1)[1:-1]))
    places = np.searchsorted(edges, predicted, side="left")
    return [places == place for place in range(edges.size + 1)]
