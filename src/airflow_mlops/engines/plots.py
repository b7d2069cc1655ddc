"""Plots of holdout predictions, drawn without pyplot's global state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

_ROWS = 5_000


def plots(truth: np.ndarray, predicted: np.ndarray, task: str) -> dict[str, Figure]:
    """Draw the plots of a task, by file name.

    :param truth: labels 0 and 1 with both present, or values.
    :param predicted: probability of label 1, or the predicted value.
    """
    if task == "classification":
        return {"curves.png": _curves(truth, predicted), "confusion.png": _confusion(truth, predicted)}
    return {"residuals.png": _residuals(truth, predicted)}


def _axes(count: int) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * count, 4), layout="constrained")
    return figure, figure.subplots(1, count, squeeze=False)[0]


def _name(axes: Any, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)


def _curves(truth: np.ndarray, predicted: np.ndarray) -> Figure:
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import precision_recall_curve, roc_curve

    figure, (roc, precision_recall, calibration) = _axes(3)
    false_positive, true_positive, _ = roc_curve(truth, predicted)
    roc.plot(false_positive, true_positive)
    roc.plot([0, 1], [0, 1], linestyle=":", color="grey")
    _name(roc, "ROC", "false positive rate", "true positive rate")
    precision, recall, _ = precision_recall_curve(truth, predicted)
    precision_recall.plot(recall, precision)
    precision_recall.axhline(truth.mean(), linestyle=":", color="grey")
    _name(precision_recall, "Precision and recall", "recall", "precision")
    observed, expected = calibration_curve(truth, predicted, n_bins=10, strategy="quantile")
    calibration.plot(expected, observed, marker="o")
    calibration.plot([0, 1], [0, 1], linestyle=":", color="grey")
    _name(calibration, "Calibration", "predicted probability", "share of positives")
    return figure


def _confusion(truth: np.ndarray, predicted: np.ndarray) -> Figure:
    import numpy as np
    from sklearn.metrics import confusion_matrix

    figure, (axes,) = _axes(1)
    counts = confusion_matrix(truth, predicted >= 0.5, labels=[0, 1])
    axes.imshow(counts, cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        dark = count > counts.max() / 2
        axes.text(column, row, f"{count:,}", ha="center", va="center", color="white" if dark else "black")
    axes.set(title="At probability 0.5", xlabel="predicted", ylabel="true", xticks=[0, 1], yticks=[0, 1])
    return figure


def _residuals(truth: np.ndarray, predicted: np.ndarray) -> Figure:
    figure, (scatter, histogram) = _axes(2)
    # Evenly spaced rows: more points than these cannot be told apart.
    step = max(1, truth.size // _ROWS)
    residuals = truth - predicted
    scatter.scatter(predicted[::step], residuals[::step], s=4, alpha=0.4)
    scatter.axhline(0, linestyle=":", color="grey")
    _name(scatter, "Residuals", "predicted", "true - predicted")
    histogram.hist(residuals, bins=50)
    _name(histogram, "Distribution of residuals", "true - predicted", "rows")
    return figure
