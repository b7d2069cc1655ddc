"""Pictures of predictions of more than two classes beside the truth; drawers as those of two classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.learning.pictures.predictions import Drawer, Sides, calibration
from airflow_mlops.learning.pictures.style import OURS, THEIRS, class_text, label_axes, legend, make_panels
from airflow_mlops.learning.statistics import decisions, multiclass

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

_SHOWN = 12
_BINS = 41


def classification(
    truth: np.ndarray, classes: Sequence[str], rules: Sequence[DecisionRule] = (HALF, HALF)
) -> dict[str, Drawer]:
    """Return the drawers of classes and their probabilities, by file name.

    Of many classes the twelve with the most rows are shown, and the others together.

    :param truth: code of the class of each row.
    :param classes: names in the order of their codes.
    :param rules: by which each side of two classes only puts a row in one of them.
    """
    if not truth.size:
        return {}
    return {
        "calibration.png": _calibration,
        "scores.png": _confidence,
        "confusion.png": partial(_confusion, classes=classes, rules=rules),
        "classes.png": partial(_recalls, classes=classes, rules=rules),
    }


def _calibration(truth: np.ndarray, sides: Sides) -> Figure:
    parts = [(side, *multiclass.confidence(truth, predicted)) for side, predicted in sides]
    return calibration(parts, "probability of the chosen class", "share of right classes")


def _confidence(truth: np.ndarray, sides: Sides) -> Figure:
    import numpy as np

    figure, several = make_panels(len(sides))
    edges = np.linspace(0, 1, _BINS)
    for axes, (side, predicted) in zip(several, sides, strict=True):
        right, confidence = multiclass.confidence(truth, predicted)
        for outcome, name, style in ((1, "right", OURS), (0, "wrong", THEIRS)):
            part = confidence[right == outcome]
            if part.size:
                axes.stairs(
                    np.histogram(part, edges)[0] / part.size,
                    edges,
                    label=f"{name}, {part.size:,} rows",
                    **style,
                )
        label_axes(
            axes, f"Confidence of the {side}", "probability of the chosen class", "share of these rows"
        )
        legend(axes)
    return figure


def _confusion(
    truth: np.ndarray, sides: Sides, classes: Sequence[str], rules: Sequence[DecisionRule]
) -> Figure:
    import numpy as np
    from sklearn.metrics import confusion_matrix

    shown, names = _most(truth, classes)
    width = max(3.0, 0.45 * len(names) + 1.6)
    figure, several = make_panels(len(sides), width=width, height=width)
    for axes, (side, predicted), rule in zip(several, sides, rules, strict=False):
        true, chosen = (_among(codes, shown) for codes in (truth, decisions.chosen(predicted, rule)))
        counts = confusion_matrix(true, chosen, labels=range(len(names)))
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            if counts[row, column]:
                color = "white" if share > 0.5 else "black"
                axes.text(column, row, f"{share:.0%}", ha="center", va="center", color=color, fontsize=8)
        label_axes(axes, f"{side.capitalize()}, share of the true class", "predicted", "true")
        places = range(len(names))
        axes.set_xticks(places, names, rotation=40, ha="right")
        axes.set_yticks(places, names)
        axes.grid(visible=False)
    return figure


def _recalls(
    truth: np.ndarray, sides: Sides, classes: Sequence[str], rules: Sequence[DecisionRule]
) -> Figure:
    import numpy as np

    shown, names = _most(truth, classes)
    codes = _among(truth, shown)
    figure, (axes,) = make_panels(height=max(2.0, 1.0 + 0.34 * len(names)))
    thickness = 0.8 / len(sides)
    drawn = zip(sides, rules, (OURS, THEIRS), strict=False)
    for place, ((side, predicted), rule, style) in enumerate(drawn):
        right = decisions.chosen(predicted, rule) == truth
        recalls = [
            right[codes == code].mean() if (codes == code).any() else np.nan for code in range(len(names))
        ]
        positions = np.arange(len(names)) + place * thickness
        axes.barh(positions, recalls, height=thickness, label=side, color=style["color"])
    rows = np.bincount(codes, minlength=len(names))
    labels = [f"{name} ({count:,})" for name, count in zip(names, rows.tolist(), strict=True)]
    axes.set_yticks(np.arange(len(names)) + 0.4 - thickness / 2, labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    label_axes(axes, "Recall by class (rows)", "share of the class that is found", "")
    legend(axes)
    return figure


def _most(truth: np.ndarray, classes: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return the codes of the classes that are shown, and their names, with one more for the others if there are any."""
    import numpy as np

    counts = np.bincount(truth[truth >= 0].astype(np.int64), minlength=len(classes))
    shown = sorted(int(code) for code in np.argsort(-counts, kind="stable")[:_SHOWN])
    short = [class_text(classes[code]) for code in shown]
    others = len(classes) > len(shown) or bool((truth < 0).any())
    return shown, [*short, "others"] if others else short


def _among(codes: np.ndarray, shown: Sequence[int]) -> np.ndarray:
    """Return the positions of codes among those that are shown; all others come last."""
    import numpy as np

    places = np.full(max(int(codes.max(initial=0)), max(shown)) + 1, len(shown))
    places[list(shown)] = np.arange(len(shown))
    return np.where(codes < 0, len(shown), places[codes.astype(np.int64)])
