"""The page of a drift: its verdicts, and Evidently's report on the summaries."""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.checks import Check
from airflow_mlops.learning.summaries import categories
from airflow_mlops.learning.summaries.distance import STATISTICS
from airflow_mlops.learning.summaries.summary import Column, ColumnKind
from airflow_mlops.reporting.verdicts import observed, of_check, subject

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

DRAWN = 50
"""Maximum number of columns that are drawn: those with the largest distances."""

_POINTS = 10_000


def render(
    title: str,
    checks: Sequence[Check],
    columns: Mapping[str, tuple[Check, Column, Column]],
    threshold: float,
) -> str:
    """Return the page of a drift, without external resources.

    :param checks: all checks, in the order in which they are shown.
    :param columns: measured columns by name: the check, the reference's summary, and the current summary.
    :param threshold: distance from which Evidently reports that a column has drifted.
    """
    far = sorted(columns, key=lambda name: (-(columns[name][0].observed or 0.0), name))[:DRAWN]
    with warnings.catch_warnings():
        # Evidently raises warnings about numpy, pandas and scipy that no reader of a task's log can act on.
        warnings.simplefilter("ignore")
        return _page(
            title, checks, [widget for name in far for widget in _drawn(name, columns[name], threshold)]
        )


def _drawn(name: str, column: tuple[Check, Column, Column], threshold: float) -> list[Any]:
    from evidently import DataDefinition, Dataset, Report
    from evidently.core.report import ReferenceMetricNotFound
    from evidently.legacy.renderers.html_widgets import text_widget
    from evidently.metrics import ValueDrift

    label, (_, before, now) = _escape(name), column
    first, second = points(before, now)
    definition = (
        DataDefinition(numerical_columns=[label])
        if before.kind is ColumnKind.NUMERIC
        else DataDefinition(categorical_columns=[label])
    )
    try:
        snapshot = Report(
            [ValueDrift(column=label, method=STATISTICS[before.kind].evidently, threshold=threshold)]
        ).run(
            Dataset.from_pandas(second.to_frame(label), definition),
            Dataset.from_pandas(first.to_frame(label), definition),
        )
        (metric,) = snapshot.metric_results.values()
        widgets: list[Any] = metric.get_widgets()
    # Evidently raises errors of any class here, and this one derives from BaseException.
    except (Exception, ReferenceMetricNotFound) as error:  # noqa: BLE001 - the verdicts stand without a drawing
        message = f"Evidently could not draw this column: {type(error).__name__}: {error}"
        widgets = [text_widget(title=label, text=_escape(message))]
    return widgets


def points(before: Column, now: Column) -> tuple[pd.Series, pd.Series]:
    """Return up to 10,000 values of each side, distributed as the values that were summarised."""
    import pandas as pd

    if before.kind is ColumnKind.NUMERIC:
        # Evidently divides by at least 0.001, so a column of a smaller scale would never drift.
        scale = before.deviation if 0 < before.deviation < 0.001 else 1.0
        return pd.Series(_spread(before) / scale), pd.Series(_spread(now) / scale)
    labels, *counts = categories.together(before, now)
    first, second = (
        pd.Series([_escape(labels[place]) for place in _places(side)], dtype=object) for side in counts
    )
    return first, second


def _spread(column: Column) -> np.ndarray:
    values: np.ndarray = column.values[_places(column.counts)]
    return values


def _places(counts: np.ndarray) -> np.ndarray:
    """Return the position of the value at each of evenly spaced ranks."""
    import numpy as np

    ends = np.cumsum(counts)
    many = min(int(ends[-1]), _POINTS)
    places: np.ndarray = np.searchsorted(ends, (np.arange(many) + 0.5) * (ends[-1] / many), side="left")
    return places


def _escape(text: str) -> str:
    # Evidently writes names and labels into a script element unescaped; Plotly shows the escaped characters
    # as the original ones.
    return html.escape(text, quote=False)


def _cell(text: str) -> str:
    # A table shows characters as they are written, so only what could end the script element is escaped.
    return re.sub(r"<(?=[/!A-Za-z])", "&lt;", text)


def _page(title: str, checks: Sequence[Check], widgets: list[Any]) -> str:
    from evidently.core.metric_types import render_widgets
    from evidently.legacy.renderers.html_widgets import group_widget, table_data

    facts = [
        [
            _cell(subject(check)),
            str(of_check(check)),
            check.expected,
            observed(check),
            check.n,
            _cell(check.reason),
        ]
        for check in checks
    ]
    table = table_data(
        column_names=["check", "verdict", "expected", "observed", "rows", "reason"],
        data=facts,
    )
    page: str = render_widgets([group_widget(title=_escape(title), widgets=[table, *widgets])])
    return page
