"""Pictures of how a model does: of its predictions, beside the champion's, and of what it learns from."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import isfinite
from time import monotonic
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.metrics import METRICS
from airflow_mlops.engines import folds, models, performance, pipeline
from airflow_mlops.engines.plots_predictions import classification, regression
from airflow_mlops.engines.plots_style import OURS, THEIRS, legend, name, panels
from airflow_mlops.exceptions import NotEnoughData, TrainingFailed

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from matplotlib.figure import Figure
    from sklearn.pipeline import Pipeline

    from airflow_mlops.engines.fitting import Data

log = logging.getLogger(__name__)

SECONDS = 10.0
"""How long a picture may take that needs predictions or fits of its own."""

_SHOWN = 20
_REPEATS = 5
_ROWS = 5_000
_LEAST_ROWS = 200
_SHARES = (16, 8, 4, 2, 1)
# Few estimators take more than in proportion to their rows; a kernel's matrix takes the square.
_SUPERLINEAR = 1.5


def evaluation(
    truth: np.ndarray, ours: np.ndarray, theirs: np.ndarray | None, task: str
) -> dict[str, Figure]:
    """Draw the pictures of holdout predictions, by file name; one that cannot be drawn is left out with a warning.

    Rows that have no finite prediction are left out.

    :param truth: labels 0 and 1, or values.
    :param ours: probability of label 1, or the predicted value; ``theirs`` likewise, the champion's, or None without
        one.
    """
    import numpy as np

    known = np.isfinite(truth) & np.isfinite(ours) & (True if theirs is None else np.isfinite(theirs))
    sides = [
        (side, predicted[known])
        for side, predicted in (("candidate", ours), ("champion", theirs))
        if predicted is not None
    ]
    drawers = classification(truth[known]) if task == "classification" else regression(truth[known])
    drawn = {}
    for file, draw in drawers.items():
        try:
            drawn[file] = draw(truth[known], sides)
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
    seconds: float = SECONDS,
) -> tuple[Figure, dict[str, float]] | None:
    """Measure how much worse a model predicts when a feature's values are shuffled (Breiman, Random Forests, 2001).

    Features that say the same stand in for each other, and then count for little.

    :param rows: rows with at least the features; up to 5,000 of them are taken, fewer if time is short.
    :param seconds: limit of time.
    :returns: a picture of the twenty that matter most, and the mean loss in ``metric`` of each feature, the greatest first;
        None if it would take too long, or the metric is undefined on these rows.
    """
    import numpy as np
    from sklearn.inspection import permutation_importance
    from threadpoolctl import threadpool_limits

    features = pipeline.features_of(model)
    chosen = np.sort(np.random.default_rng(seed).permutation(truth.size)[:_ROWS])
    frame, labels = pipeline.frame(rows.take(chosen), features), truth[chosen]
    sign = 1.0 if METRICS[metric].greater_is_better else -1.0
    deadline = monotonic() + seconds

    def scored(estimator: Pipeline, part: Any, known: np.ndarray) -> float:
        if monotonic() > deadline:
            raise TimeoutError("it would take too long")
        value = performance.measure(metric, known, models.predicted(estimator, part, task))
        if value is None:
            raise NotEnoughData(f"{metric} is undefined on these rows")
        return sign * value

    try:
        # One thread: so few rows take longer where threads wait for each other.
        with threadpool_limits(1):
            count, repeats = _affordable(lambda n: scored(model, frame[:n], labels[:n]), frame, seconds)
            part = np.sort(np.random.default_rng(seed).permutation(len(frame))[:count])
            found = permutation_importance(
                model, frame.iloc[part], labels[part], scoring=scored, n_repeats=repeats, random_state=seed
            )
    except (TimeoutError, NotEnoughData) as error:
        log.info("No importance of %d features: %s", frame.shape[1], error)
        return None
    order = np.argsort(-found.importances_mean, kind="stable")
    means = {frame.columns[at]: float(found.importances_mean[at]) for at in order}
    return _importance(means, found.importances_std[order], metric, count), means


def _affordable(predict: Callable[[int], float], frame: Any, seconds: float) -> tuple[int, int]:
    """Return how many rows, and how many times each feature, can be afforded."""

    def timed(rows: int) -> float:
        began = monotonic()
        predict(rows)
        return (monotonic() - began) * int(frame.shape[1])

    rows, most = min(_LEAST_ROWS, len(frame)), len(frame)
    timed(rows)  # the first call of all pays for what is loaded late
    # Half of the limit, so that it is seldom met half way.
    left, each = seconds / 2, timed(rows)
    count = min(most, int(rows * left / max(each, 1e-6)))
    if count > rows:
        each = timed(count)
    if each > seconds:
        raise TimeoutError("it would take too long")
    return count if count > rows else rows, max(1, min(_REPEATS, int(left / max(each, 1e-6))))


def _importance(means: dict[str, float], deviations: np.ndarray, metric: str, rows: int) -> Figure:
    shown = list(means)[:_SHOWN][::-1]
    figure, (axes,) = panels(height=max(1.6, 0.8 + 0.24 * len(shown)))
    axes.barh(
        [_short(each) for each in shown],
        [means[each] for each in shown],
        xerr=deviations[: len(shown)][::-1],
        color=OURS["color"],
        error_kw={"linewidth": 1, "ecolor": "0.35"},
    )
    name(axes, "What it relies on", f"loss of {metric} when shuffled, {rows:,} rows", "")
    axes.grid(axis="y", visible=False)
    return figure


def _short(text: str) -> str:
    # A dollar would begin a formula.
    return (text if len(text) <= 24 else f"{text[:23]}…").replace("$", r"\$")


def learning_curve(
    fit: Callable[[Data], Pipeline],
    data: Data,
    *,
    task: str,
    metric: str,
    took: float = 0.0,
    seconds: float = SECONDS,
) -> Figure | None:
    """Draw how a model does on the latest fifth of the rows when it is fitted to ever more of those just before.

    It tells whether more data, or a longer window, would help. It begins with few rows, and ends when the next fit would
    take longer than what is left of the time.

    :param fit: fits the chosen candidate to some rows.
    :param data: training rows, in order of event time.
    :param took: seconds that a fit to all of them took; 0 if that is not known.
    :param seconds: limit of time; a fit that has begun is not interrupted.
    :returns: None if there are not two points to draw a line between.
    """
    try:
        [fold] = folds.folds(data, 1, task)
    except NotEnoughData:
        return None
    validated = data.between(fold.cut, fold.end)
    points: list[tuple[int, float | None, float | None]] = []
    left, before = seconds, data.labels.size
    for rows in sorted({fold.cut // share for share in _SHARES}):
        # Fewer rows may well take no less than in proportion.
        if took * (rows / before) ** (_SUPERLINEAR if rows > before else 1) > left:
            log.info(
                "The learning curve ends before %d of %d rows: they would take too long.", rows, fold.cut
            )
            break
        began = monotonic()
        fitted_to = data.between(fold.cut - rows, fold.cut)
        try:
            model = fit(fitted_to)
            points.append(
                (rows, _score(model, fitted_to, task, metric), _score(model, validated, task, metric))
            )
        except (NotEnoughData, TrainingFailed):
            pass  # few rows may hold one class, or none of a category
        took, before = monotonic() - began, rows
        left -= took
    return _curve(points, metric) if len(points) > 1 else None


def _score(model: Pipeline, data: Data, task: str, metric: str) -> float | None:
    predicted = models.predicted(model, data.frame, task)
    return performance.measure(metric, data.labels, predicted)


def _curve(points: list[tuple[int, float | None, float | None]], metric: str) -> Figure:
    rows, train, validation = zip(*points, strict=True)
    figure, (axes,) = panels()
    for label, values, style in (("validation rows", validation, OURS), ("training rows", train, THEIRS)):
        numbers = [float("nan") if value is None or not isfinite(value) else value for value in values]
        axes.plot(rows, numbers, marker="o", markersize=4, label=label, **style)
    axes.set_xscale("log")
    axes.set_xticks(rows, [f"{each:,}" for each in rows], rotation=30, ha="right")
    axes.minorticks_off()
    name(axes, "Learning curve", "rows fitted, the latest before validation", metric)
    legend(axes)
    return figure
