"""Paired tests: how much better one model is than another on the same rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.domain.policies.gates import Comparison
from airflow_mlops.domain.spec.gates import CLOSED_FORMS
from airflow_mlops.exceptions import SpecError
from airflow_mlops.learning.statistics import decisions, measures, resampling
from airflow_mlops.learning.statistics.statistic import statistic

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.domain.spec.model import VersusChampion
    from airflow_mlops.learning.statistics.resampling import Blocks, Support

Test = Literal["auto", "bootstrap", "delong", "mcnemar"]

_NAMES = {"delong": "DeLong", "mcnemar": "McNemar"}


def blocks(gate: VersusChampion, times: np.ndarray, grain: str) -> Blocks:
    """Return the blocks of rows that depend on each other, as a gate sees them.

    A gate that names a closed form takes all rows for independent.

    :param times: event time of each row.
    :param grain: length of a partition.
    """
    block = "none" if gate.test in _NAMES else gate.block
    return resampling.blocks(times, block, grain)


def difference(
    truth: np.ndarray,
    ours: np.ndarray,
    theirs: np.ndarray,
    metric: str,
    *,
    blocks: Blocks,
    confidence: float,
    test: Test = "auto",
    seed: int = 0,
    rules: tuple[DecisionRule, DecisionRule] = (HALF, HALF),
    weights: np.ndarray | None = None,
) -> Comparison:
    """Compare our predictions with theirs on the same rows.

    What makes a row hard is the same for both, so their difference is known much better than either value.

    :param ours: our predictions, in the form that :func:`measures.metrics` takes; ``theirs`` likewise.
    :param metric: the interval is that of the improvement: positive where we are better, whichever direction the metric
        has.
    :param blocks: rows that depend on each other.
    :param confidence: such as 0.95: the interval leaves (1 - confidence) / 2 on each side.
    :param test: ``auto`` takes a closed form where the rows are independent and the metric has one, else the bootstrap.
    :param seed: equal seeds and rows give equal intervals.
    :param rules: from which probability on we, and they, call a row positive; costs are the same for both.
    :param weights: how much each row counts; None means that all count alike. The closed forms know no weights.
    :raises SpecError: if the test does not judge the metric, or knows no weights.
    """
    import numpy as np

    truth, ours, theirs = (np.asarray(column, dtype=float) for column in (truth, ours, theirs))
    sides = tuple(zip((ours, theirs), rules, strict=True))
    observed, baseline = (
        measures.measure(metric, truth, side, rule=rule, weights=weights) for side, rule in sides
    )
    comparison = Comparison(observed, baseline)
    if comparison.observed is None or comparison.baseline is None:
        return comparison
    method = _chosen(test, metric, blocks, many=ours.ndim == 2, weighted=weights is not None)
    if method == "delong" and ours.ndim == 2:
        problem = "DeLong's test compares two classes: set versus_champion.test to bootstrap"
        return Comparison(comparison.observed, comparison.baseline, None, _NAMES[method], problem)
    if method == "bootstrap":
        return _bootstrap(comparison, truth, sides, metric, blocks, confidence, seed, weights)
    positives = int(np.sum(truth == 1))
    rows = min(positives, truth.size - positives) if method == "delong" else truth.size
    if rows < resampling.LEAST_ROWS:
        return Comparison(comparison.observed, comparison.baseline, None, _NAMES[method], _too_few_rows(rows))
    closed: dict[str, Callable[..., tuple[float, float]]] = {"delong": _delong, "mcnemar": _mcnemar}
    cut = (decisions.decided(metric, side, rule) for side, rule in sides)
    interval = closed[method](truth, *cut, confidence)
    return Comparison(comparison.observed, comparison.baseline, interval, _NAMES[method])


def _chosen(test: Test, metric: str, blocks: Blocks, *, many: bool, weighted: bool) -> str:
    if test == "auto":
        if many or weighted:
            return "bootstrap"
        closed = next((name for name, judged in CLOSED_FORMS.items() if judged == metric), "bootstrap")
        return closed if blocks.unit == "row" else "bootstrap"
    judged = CLOSED_FORMS.get(test, metric)
    if weighted and test in CLOSED_FORMS:
        raise SpecError([f"gates.versus_champion.test: {test} knows no weights; use bootstrap"], "gates")
    if judged != metric:
        raise SpecError(
            [
                f"gates.versus_champion.test: {test} compares {judged}, and candidates are ranked by {metric}; use bootstrap"
            ],
            "gates",
        )
    return test


def _bootstrap(
    comparison: Comparison,
    truth: np.ndarray,
    sides: Sequence[tuple[np.ndarray, DecisionRule]],
    metric: str,
    blocks: Blocks,
    confidence: float,
    seed: int,
    weights: np.ndarray | None,
) -> Comparison:
    models = [statistic(metric, truth, predicted, blocks, rule, weights) for predicted, rule in sides]
    better, worse = (0, 1) if metric_of(metric).greater_is_better else (1, 0)
    estimate = resampling.resample(models, blocks.count, seed).difference(better, worse)
    interval = estimate.interval(confidence)
    problem = "" if interval else _unknown(metric, blocks, models[0].support)
    return Comparison(comparison.observed, comparison.baseline, interval, f"bootstrap over {blocks}", problem)


def _unknown(metric: str, blocks: Blocks, support: Support) -> str:
    if support.enough:
        return f"{metric} is undefined in most of its resamples: hold out more rows"
    if blocks.unit == "row":
        return _too_few_rows(support.holding)
    chance = "cannot tell how much of it is chance"
    todo = "hold out more, or name a shorter versus_champion.block"
    if support.holding < resampling.LEAST_BLOCKS:
        informing = f"of {blocks}, the {support.holding:,} that inform {metric}"
        subject = str(blocks) if support.holding == blocks.count else informing
        return f"{subject} {chance}, {resampling.LEAST_BLOCKS} are needed: {todo}"
    return (
        f"{blocks} of very different weight for {metric} {chance}: they are worth {support.even:.1f} even ones, "
        f"{resampling.LEAST_EVEN} are needed: {todo}"
    )


def _too_few_rows(rows: int) -> str:
    return (
        f"there are too few rows, or rows of one class, for an interval: {rows:,}, {resampling.LEAST_ROWS} are needed: "
        "hold out more"
    )


def _delong(
    truth: np.ndarray, ours: np.ndarray, theirs: np.ndarray, confidence: float
) -> tuple[float, float]:
    """DeLong, DeLong and Clarke-Pearson (1988), by the ranks of Sun and Xu, Fast Implementation of DeLong's Algorithm (2014)."""
    import numpy as np
    from scipy.special import ndtri
    from scipy.stats import rankdata

    positive = truth == 1
    m, n = int(positive.sum()), int((~positive).sum())
    parts = []
    for scores in (ours, theirs):
        above, below = scores[positive], scores[~positive]
        together = rankdata(np.r_[above, below])
        # For each row, the share of the other class's rows that it is on the right side of.
        parts.append(((together[:m] - rankdata(above)) / n, 1 - (together[m:] - rankdata(below)) / m))
    gains = [first - second for first, second in zip(*parts, strict=True)]
    half = ndtri((1 + confidence) / 2) * math.sqrt(gains[0].var(ddof=1) / m + gains[1].var(ddof=1) / n)
    gain = gains[0].mean()
    return float(gain - half), float(gain + half)


def _mcnemar(
    truth: np.ndarray, ours: np.ndarray, theirs: np.ndarray, confidence: float
) -> tuple[float, float]:
    """The interval that belongs to McNemar's test (1947).

    Only rows that one of the two gets right say anything. Bonett and Price, Adjusted Wald Confidence Interval for a
    Difference of Binomial Proportions Based on Paired Data (2012), add one to both kinds, without which few such rows
    would give too short an interval.
    """
    import numpy as np
    from scipy.special import ndtri

    right, other = (decisions.chosen(predicted) == truth for predicted in (ours, theirs))
    n = truth.size + 2
    won, lost = ((np.sum(a & ~b) + 1) / n for a, b in ((right, other), (other, right)))
    half = ndtri((1 + confidence) / 2) * math.sqrt((won + lost - (won - lost) ** 2) / n)
    return float(won - lost - half), float(won - lost + half)
