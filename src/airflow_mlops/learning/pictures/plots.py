"""Pictures of an evaluation: predictions of the candidate and the champion, and the features that matter most."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.exceptions import NotEnoughData
from airflow_mlops.learning.models import models, pipeline
from airflow_mlops.learning.pictures import multiclass, predictions
from airflow_mlops.learning.pictures.style import OURS, label_axes, make_panels
from airflow_mlops.learning.statistics import measures

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from matplotlib.figure import Figure
    from sklearn.pipeline import Pipeline


log = logging.getLogger(__name__)

_SHOWN = 20
_REPEATS = 5
_ROWS = 5_000
_LEAST_ROWS = 200
# Work, not time, bounds the measure of importance, by which drift may be judged: so many values the model is given in all,
# for which gradient boosting takes some ten seconds.
_VALUES = 50_000_000


def evaluation(
    truth: np.ndarray,
    ours: np.ndarray,
    theirs: np.ndarray | None,
    task: str,
    classes: Sequence[str] = (),
    rules: tuple[DecisionRule, DecisionRule] = (HALF, HALF),
) -> dict[str, Figure]:
    """Draw the pictures of holdout predictions, by file name; one that cannot be drawn is left out with a warning.

    Rows that have no finite prediction are left out.

    :param truth: codes of classes, or values.
    :param ours: probability of class 1 of two, or the predicted value, or of more classes a probability for each;
        ``theirs`` likewise, the champion's, or None without one.
    :param classes: names in the order of their codes.
    :param rules: from which probability on the candidate, and the champion, call a row positive.
    """
    import numpy as np

    finite = np.isfinite(truth) & measures.finite(ours)
    if theirs is not None:
        finite &= measures.finite(theirs)
    sides = [
        (side, predicted[finite])
        for side, predicted in (("candidate", ours), ("champion", theirs))
        if predicted is not None
    ]
    if ours.ndim == 2:
        drawers = multiclass.classification(truth[finite], classes, rules)
    elif task == "classification":
        drawers = predictions.classification(truth[finite], classes or BINARY, rules)
    else:
        drawers = predictions.regression(truth[finite])
    drawn = {}
    for file, draw in drawers.items():
        try:
            drawn[file] = draw(truth[finite], sides)
        except Exception as error:  # noqa: BLE001 - a picture is no reason to lose what was measured
            log.warning("%s cannot be drawn: %s: %s", file, type(error).__name__, error)
    return drawn


def importance(
    model: Pipeline,
    rows: pa.Table,
    truth: np.ndarray,
    task: str,
    metric: str,
    seed: int,
    classes: Sequence[str] = (),
    rule: DecisionRule = HALF,
    weights: np.ndarray | None = None,
) -> tuple[Figure, dict[str, float]] | None:
    """Measure how much worse a model predicts when a feature's values are shuffled (Breiman, Random Forests, 2001).

    Features that say the same stand in for each other, so each of them seems to matter little.

    :param rows: rows with at least the features; up to 5,000 of them are taken, fewer if there are many features.
    :param classes: names in the order of the codes of ``truth``; none for the model's own.
    :param rule: from which probability on the model calls a row positive, and what mistakes cost.
    :param weights: how much each row counts; None means that all count alike.
    :returns: a picture of the twenty that matter most, and the mean loss in ``metric`` of each feature, the greatest first;
        None if there are more than 500 features, or the metric is undefined on these rows.
    """
    import numpy as np
    from sklearn.inspection import permutation_importance
    from threadpoolctl import threadpool_limits

    features = pipeline.features_of(model)
    width = len(features.names)
    count, repeats = _affordable(width, truth.size)
    if not repeats:
        log.info("No importance of %d features: that many are not shuffled one by one", width)
        return None
    chosen = np.sort(np.random.default_rng(seed).permutation(truth.size)[:count])
    frame, labels = pipeline.frame(rows.take(chosen), features), truth[chosen]
    weighed = None if weights is None else weights[chosen]
    sign = 1.0 if metric_of(metric).greater_is_better else -1.0

    def scored(estimator: Pipeline, part: Any, part_labels: np.ndarray) -> float:
        predicted = models.predicted(estimator, part, task, classes or None)
        value = measures.measure(metric, part_labels, predicted, rule=rule, weights=weighed)
        if value is None:
            raise NotEnoughData(f"{metric} is undefined on these rows")
        return sign * value

    try:
        # One thread: so few rows take longer where threads wait for each other.
        with threadpool_limits(1):
            permuted = permutation_importance(
                model, frame, labels, scoring=scored, n_repeats=repeats, random_state=seed
            )
    except NotEnoughData as error:
        log.info("No importance of %d features: %s", width, error)
        return None
    order = np.argsort(-permuted.importances_mean, kind="stable")
    means = {frame.columns[at]: float(permuted.importances_mean[at]) for at in order}
    return _importance(means, permuted.importances_std[order], metric, count), means


def _affordable(width: int, rows: int) -> tuple[int, int]:
    """Return how many rows are taken, and how often each feature is shuffled: not once if there are too many."""
    affordable = _VALUES // width**2
    count = min(rows, max(_LEAST_ROWS, min(_ROWS, affordable)))
    return count, 0 if affordable < _LEAST_ROWS else max(1, min(_REPEATS, affordable // count))


def _importance(means: dict[str, float], deviations: np.ndarray, metric: str, rows: int) -> Figure:
    shown = list(means)[:_SHOWN][::-1]
    figure, (axes,) = make_panels(height=max(1.6, 0.8 + 0.24 * len(shown)))
    axes.barh(
        [_short(feature) for feature in shown],
        [means[feature] for feature in shown],
        xerr=deviations[: len(shown)][::-1],
        color=OURS["color"],
        error_kw={"linewidth": 1, "ecolor": "0.35"},
    )
    label_axes(axes, "What it relies on", f"loss of {metric} when shuffled, {rows:,} rows", "")
    axes.grid(axis="y", visible=False)
    return figure


def _short(text: str) -> str:
    # A dollar would begin a formula.
    return (text if len(text) <= 24 else f"{text[:23]}…").replace("$", r"\$")
