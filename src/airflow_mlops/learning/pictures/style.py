"""One style for every picture: small, readable in print, and by people who see colours differently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Colours of lines, by Okabe and Ito (Color Universal Design, 2008), which everyone can tell apart: blue, vermilion, green, …"""

# Lines differ in dashes too, for who prints in grey.
OURS: dict[str, Any] = {"color": PALETTE[0], "linestyle": "-", "linewidth": 1.8}
"""How the model itself is drawn."""
THEIRS: dict[str, Any] = {"color": PALETTE[1], "linestyle": "--", "linewidth": 1.5}
"""How the model that it is compared with is drawn."""
REFERENCE: dict[str, Any] = {"color": "0.55", "linestyle": ":", "linewidth": 1.2}
"""How chance, or a perfect model, is drawn."""

DPI = 110
WIDTH, HEIGHT = 4.2, 3.6
"""Of one panel, in inches."""

_SMALL = 9
_LONGEST = 16


def make_panels(
    count: int = 1, *, width: float = WIDTH, height: float = HEIGHT
) -> tuple[Figure, Sequence[Any]]:
    """Return a figure and its axes, side by side. No state of pyplot is touched, so that threads may draw."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * count, height), dpi=DPI, layout="constrained")
    return figure, figure.subplots(1, count, squeeze=False)[0]


def class_text(name: str) -> str:
    """Return the name of a class as a picture shows it: short, and taken literally."""
    # A dollar would begin a formula.
    return (name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…").replace("$", r"\$")


def label_axes(axes: Any, title: str, x: str, y: str) -> None:
    """Put title and labels, and hide the lines that say nothing."""
    axes.set_title(title, fontsize=11, loc="left", fontweight="bold")
    axes.set_xlabel(x, fontsize=_SMALL)
    axes.set_ylabel(y, fontsize=_SMALL)
    axes.tick_params(labelsize=_SMALL)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def legend(axes: Any, **options: Any) -> None:
    """Explain the lines, if there is more than one."""
    if len(axes.get_legend_handles_labels()[1]) > 1:
        axes.legend(fontsize=_SMALL, frameon=False, **options)


def thin(values: Any, most: int) -> Any:
    """Return positions of evenly spaced values, the first and the last among them: more cannot be told apart."""
    import numpy as np

    return np.unique(np.linspace(0, len(values) - 1, most).astype(int)) if len(values) > most else slice(None)
