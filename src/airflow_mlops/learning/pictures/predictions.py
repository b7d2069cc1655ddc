"""Pictures of predictions beside the truth; each drawer takes the truth and the predictions of one side or two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.learning.pictures.style import (
    OURS,
    REFERENCE,
    THEIRS,
    class_text,
    label_axes,
    legend,
    make_panels,
    thin,
)
from airflow_mlops.learning.statistics import decisions

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

Sides = Sequence[tuple[str, "np.ndarray"]]
"""Predictions by who made them: the candidate's first, then the champion's if there is one."""
Drawer = Callable[["np.ndarray", Sides], "Figure"]

_POINTS = 1_000
_DOTS = 5_000
_BINS = 10


def classification(
    truth: np.ndarray, classes: Sequence[str] = BINARY, rules: Sequence[DecisionRule] = (HALF, HALF)
) -> dict[str, Drawer]:
    """Return the drawers of probabilities, by file name; labels of one class have no curves.

    :param classes: names of the two; the probabilities are of the second.
    :param rules: from which probability on each side calls a row positive.
    """
    names = [class_text(name) for name in classes]
    drawers: dict[str, Drawer] = {
        "scores.png": partial(_scores, names=names, rules=rules),
        "confusion.png": partial(_confusion, names=names, rules=rules),
    }
    if truth.size and 0 < truth.mean() < 1:
        curves: dict[str, Drawer] = {"roc.png": _roc, "precision_recall.png": _precision_recall}
        return curves | {"calibration.png": partial(_calibration, name=names[1])} | drawers
    return drawers if truth.size else {}


def regression(truth: np.ndarray) -> dict[str, Drawer]:
    """Return the drawers of predicted values, by file name."""
    return {"residuals.png": _residuals, "scores.png": _values} if truth.size else {}


def _styled(sides: Sides) -> list[tuple[str, np.ndarray, dict[str, Any]]]:
    return [(side, predicted, style) for (side, predicted), style in zip(sides, (OURS, THEIRS), strict=False)]


def _roc(truth: np.ndarray, sides: Sides) -> Figure:
    from sklearn.metrics import roc_auc_score, roc_curve

    figure, (axes,) = make_panels()
    axes.plot([0, 1], [0, 1], **REFERENCE)
    for side, predicted, style in _styled(sides):
        false, true, _ = roc_curve(truth, predicted)
        kept = thin(false, _POINTS)
        axes.plot(
            false[kept], true[kept], label=f"{side}, area {roc_auc_score(truth, predicted):.3f}", **style
        )
    label_axes(axes, "ROC", "false positive rate", "true positive rate")
    axes.legend(fontsize=9, frameon=False, loc="lower right")
    return figure


def _precision_recall(truth: np.ndarray, sides: Sides) -> Figure:
    from sklearn.metrics import average_precision_score, precision_recall_curve

    figure, (axes,) = make_panels()
    axes.axhline(truth.mean(), **REFERENCE)
    for side, predicted, style in _styled(sides):
        precision, recall, _ = precision_recall_curve(truth, predicted, drop_intermediate=True)
        kept = thin(precision, _POINTS)
        area = average_precision_score(truth, predicted)
        axes.plot(recall[kept], precision[kept], label=f"{side}, average {area:.3f}", **style)
    label_axes(axes, "Precision and recall", "recall", "precision")
    axes.set_ylim(-0.02, 1.02)
    axes.legend(fontsize=9, frameon=False)
    return figure


def _calibration(truth: np.ndarray, sides: Sides, name: str) -> Figure:
    parts = [(side, truth, predicted) for side, predicted in sides]
    return calibration(parts, f"predicted probability of {name}", f"share of {name}")


def calibration(sides: Sequence[tuple[str, np.ndarray, np.ndarray]], predicts: str, happens: str) -> Figure:
    """Draw how often what was predicted did happen.

    :param sides: by who made them, what happened (0 or 1) and its probability.
    :param predicts: the probability in words; ``happens`` what it is the probability of.
    """
    import numpy as np

    figure, (axes,) = make_panels()
    axes.plot([0, 1], [0, 1], **REFERENCE)
    for (side, truth, predicted), style in zip(sides, (OURS, THEIRS), strict=False):
        parts = np.array_split(np.argsort(predicted, kind="stable"), min(_BINS, truth.size))
        expected = np.array([predicted[part].mean() for part in parts])
        observed = np.array([truth[part].mean() for part in parts])
        # Bars of one standard error, so that a bin of few rows is not taken for more than it is.
        error = np.sqrt(observed * (1 - observed) / [part.size for part in parts])
        axes.errorbar(expected, observed, error, marker="o", markersize=4, label=side, **style)
    label_axes(axes, "Calibration", f"{predicts}, bins of equal count", happens)
    legend(axes, loc="upper left")
    return figure


def _confusion(
    truth: np.ndarray, sides: Sides, names: Sequence[str], rules: Sequence[DecisionRule]
) -> Figure:
    import numpy as np
    from sklearn.metrics import confusion_matrix

    figure, several = make_panels(len(sides), width=3, height=3.2)
    for axes, (side, predicted), rule in zip(several, sides, rules, strict=False):
        counts = confusion_matrix(truth, decisions.chosen(predicted, rule), labels=[0, 1])
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            share = shares[row, column]
            text = f"{count:,}\n{share:.0%}"
            axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.5 else "black")
        label_axes(axes, f"{side} at probability {rule.threshold:.3g}".capitalize(), "predicted", "true")
        axes.set_xticks([0, 1], names)
        axes.set_yticks([0, 1], names)
        axes.grid(visible=False)
    return figure


def _scores(truth: np.ndarray, sides: Sides, names: Sequence[str], rules: Sequence[DecisionRule]) -> Figure:
    import numpy as np

    figure, several = make_panels(len(sides))
    for axes, (side, predicted), rule in zip(several, sides, rules, strict=False):
        edges = np.linspace(0, 1, 41)
        if rule.threshold != HALF.threshold:
            axes.axvline(rule.threshold, **REFERENCE)
        for label, style in enumerate((OURS, THEIRS)):
            part = predicted[truth == label]
            if part.size:
                heights = np.histogram(part, edges)[0] / part.size
                axes.stairs(heights, edges, fill=True, alpha=0.25, color=style["color"])
                axes.stairs(heights, edges, label=f"{names[label]}, {part.size:,} rows", **style)
        label_axes(
            axes, f"Scores of the {side}", f"predicted probability of {names[1]}", "share of the class's rows"
        )
        legend(axes)
    highest = max(axes.get_ylim()[1] for axes in several)
    for axes in several:
        axes.set_ylim(0, highest)
    return figure


def _residuals(truth: np.ndarray, sides: Sides) -> Figure:
    import numpy as np

    figure, (scatter, histogram) = make_panels(2)
    kept = thin(truth, _DOTS)
    ours = sides[0][1]
    scatter.scatter(ours[kept], (truth - ours)[kept], s=4, alpha=0.35, color=OURS["color"], linewidths=0)
    scatter.axhline(0, **REFERENCE)
    label_axes(scatter, "Residuals of the candidate", "predicted", "true − predicted")
    edges = np.histogram_bin_edges(np.concatenate([truth - predicted for _, predicted in sides]), 50)
    for side, predicted, style in _styled(sides):
        histogram.stairs(np.histogram(truth - predicted, edges)[0], edges, label=side, **style)
    label_axes(histogram, "Distribution of residuals", "true − predicted", "rows")
    legend(histogram)
    return figure


def _values(truth: np.ndarray, sides: Sides) -> Figure:
    import numpy as np

    figure, (axes,) = make_panels()
    edges = np.histogram_bin_edges(np.concatenate([truth, *(predicted for _, predicted in sides)]), 50)
    axes.stairs(np.histogram(truth, edges)[0], edges, fill=True, color="0.85", label="true")
    for side, predicted, style in _styled(sides):
        axes.stairs(np.histogram(predicted, edges)[0], edges, label=side, **style)
    label_axes(axes, "Predicted and true values", "value", "rows")
    legend(axes)
    return figure
