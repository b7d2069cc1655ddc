"""Measures of the order of predictions as statistics of blocks: area under the ROC curve, and average precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.learning.statistics.resampling import Blocks


def ranked(
    measure: str,
    truth: np.ndarray,
    predicted: np.ndarray,
    blocks: Blocks,
    weights: np.ndarray | None = None,
) -> Callable[[np.ndarray], float]:
    """Return a function that computes a measure of ranks of drawn blocks.

    Both measures are sums over the steps of the curve that hold rows of label 1. What has been passed by each of them is
    counted by blocks in advance where that is less than to count the rows of each draw: of a rare class there are few steps.

    :param measure: ``roc_auc`` or ``average_precision``.
    :param truth: labels 0 and 1.
    :param weights: how much each row counts; None means that all count alike.
    """
    import numpy as np

    order = np.argsort(-predicted, kind="stable")
    scores, codes = predicted[order], blocks.codes[order]
    positives = np.flatnonzero(truth[order])
    # Rows of equal prediction count as one step of the curve.
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]][: scores.size])
    if not positives.size:
        return lambda drawn: math.nan
    step_of = np.searchsorted(starts, positives, side="right") - 1
    steps, firsts = np.unique(step_of, return_index=True)
    # Positions at which each step begins and ends, and the end of all rows.
    edges = np.r_[np.c_[starts[steps], np.r_[starts[1:], scores.size][steps]].ravel(), scores.size]
    rows = None if weights is None else weights[order]
    passed = _passed(edges, codes, blocks.count, rows)
    labelled, counted = codes[positives], 1 if rows is None else rows[positives]

    def compute(drawn: np.ndarray) -> float:
        positive = np.add.reduceat(drawn.take(labelled) * counted, firsts)
        sums = passed(drawn)
        before, until = sums[:-1].reshape(-1, 2).T
        with np.errstate(divide="ignore", invalid="ignore"):
            if measure == "roc_auc":
                return _auc(positive, before, until, sums[-1])
            return _average_precision(positive, until, steps, starts.size)

    return compute


def _passed(
    edges: np.ndarray, codes: np.ndarray, count: int, rows: np.ndarray | None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that computes how many drawn rows lie before each of some positions, or how much they weigh.

    :param edges: positions, in order.
    :param codes: the block of each row.
    :param rows: the weight of each row; None counts them.
    """
    import numpy as np

    if edges.size * count > codes.size:
        sums = np.zeros(codes.size + 1, np.int64 if rows is None else np.float64)

        def by_row(drawn: np.ndarray) -> np.ndarray:
            times = drawn.take(codes)
            np.cumsum(times if rows is None else times * rows, out=sums[1:])
            return sums.take(edges)

        return by_row
    between = np.searchsorted(edges, np.arange(codes.size), side="right")
    cells = between * count + codes
    counts = np.bincount(cells, weights=rows, minlength=edges.size * count).reshape(-1, count)
    table = np.cumsum(counts, axis=0).astype(float)
    # Not by BLAS, whose threads wait for each other where other processes have the processors.
    return lambda drawn: np.einsum("ij,j->i", table, drawn)


def _auc(positive: np.ndarray, before: np.ndarray, until: np.ndarray, total: float) -> float:
    import numpy as np

    hits = np.cumsum(positive)
    negatives = total - hits[-1]
    beside = until - before - positive
    below = negatives - (until - hits) + beside / 2
    return float(np.divide((positive * below).sum(), hits[-1] * negatives))


def _average_precision(positive: np.ndarray, called: np.ndarray, steps: np.ndarray, count: int) -> float:
    import numpy as np

    hits = np.cumsum(positive)
    precision = np.divide(hits, called, out=np.zeros(hits.size), where=called > 0)
    # At the places of all steps, so that the sum is rounded as one over all of them is.
    gained = np.zeros(count)
    gained[steps] = precision * positive
    return float(np.divide(gained.sum(), hits[-1]))
