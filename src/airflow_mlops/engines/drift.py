"""Drift: how far a partition's features are from those the champion was trained on, measured with Evidently."""

from __future__ import annotations

import html
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain.checks import Check, Verdict

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from airflow_mlops.domain.spec import DriftPolicy

SAMPLE = 50_000
"""Rows a side that are measured at most: every n-th of a larger table."""

CATEGORIES = 100
"""Categories that are told apart, the most frequent; Evidently's time grows with the square of their number.

The others count as two: those that the reference has, and those that it lacks.
"""

_WASSERSTEIN = "wasserstein"
_JENSEN_SHANNON = "jensenshannon"
_METHODS = {_WASSERSTEIN: "normed Wasserstein distance", _JENSEN_SHANNON: "Jensen-Shannon distance"}
_RARE, _UNSEEN = "rare categories", "rare categories that the reference lacks"


class Drift(NamedTuple):
    """Drift of one partition.

    :param overall: the share of drifted columns.
    :param columns: the drift of each; FAIL means that it drifted.
    :param html: a page with the distributions, without external resources.
    """

    overall: Check
    columns: tuple[Check, ...]
    html: str


class _Side(NamedTuple):
    """One column of one table: its finite values, the rows, and the share of rows without such a value."""

    values: pd.Series
    rows: int
    missing: float


class _Column(NamedTuple):
    check: Check
    widgets: list[Any]


def measure(
    reference: pa.Table,
    current: pa.Table,
    *,
    numeric: Sequence[str],
    categorical: Sequence[str],
    policy: DriftPolicy,
    title: str,
) -> Drift:
    """Measure the drift of each column, and of the table as the share of drifted columns.

    A numeric column's drift is the Wasserstein distance in units of the reference's standard deviation, a categorical
    column's the Jensen-Shannon distance (natural logarithm, 0 to 0.83); a column whose share of missing or infinite
    values changed by the threshold has drifted too. Columns are measured apart: one that cannot be measured is
    INCONCLUSIVE and hides nothing of the others.

    :param reference: rows the champion was trained on; of more than 50,000 every n-th is taken, and of ``current``.
    :param policy: ``threshold`` of a column, ``columns`` as the share of columns from which the table has drifted,
        ``min_rows`` with a value that a column needs on each side.
    :param title: heading of the page.
    """
    reference_sample, current_sample = _sample(reference), _sample(current)
    methods = {**dict.fromkeys(numeric, _WASSERSTEIN), **dict.fromkeys(categorical, _JENSEN_SHANNON)}
    with warnings.catch_warnings():
        # Evidently warns of numpy, pandas and scipy matters that nobody who reads a task's log can act on.
        warnings.simplefilter("ignore")
        measured = [
            _measure_column(column, method, reference_sample, current_sample, policy)
            for column, method in methods.items()
        ]
        checks = tuple(column.check for column in measured)
        overall = _overall(checks, policy, current_sample.num_rows, _sampling(reference, current))
        page = _page(title, (overall, *checks), [widget for column in measured for widget in column.widgets])
    return Drift(overall, checks, page)


def _sample(table: pa.Table) -> pa.Table:
    rows = table.num_rows
    return table if rows <= SAMPLE else table.take([row * rows // SAMPLE for row in range(SAMPLE)])


def _sampling(reference: pa.Table, current: pa.Table) -> str:
    sides = {"reference": reference.num_rows, "current": current.num_rows}
    large = [f"{SAMPLE} of {rows} {side} rows" for side, rows in sides.items() if rows > SAMPLE]
    return f"; measured on {' and '.join(large)}" if large else ""


def _measure_column(
    column: str, method: str, reference: pa.Table, current: pa.Table, policy: DriftPolicy
) -> _Column:
    def answer(verdict: Verdict, reason: str, observed: float | None = None, n: int | None = None) -> Check:
        expected = f"< {policy.threshold:g}"
        return Check(
            name=f"drift.{column}", verdict=verdict, expected=expected, observed=observed, n=n, reason=reason
        )

    try:
        before, now = _side(reference, column, method), _side(current, column, method)
        rows = len(now.values)
        gap = round(abs(now.missing - before.missing), 6)
        gaps = f"{now.missing:.1%} of values missing or infinite, {before.missing:.1%} in the reference"
        few = _too_few(policy.min_rows, before, now)
        if few and gap >= policy.threshold and min(before.rows, now.rows) >= policy.min_rows:
            return _Column(answer(Verdict.FAIL, f"{gaps}; {few}", gap, rows), [])
        if few:
            return _Column(answer(Verdict.INCONCLUSIVE, few, n=rows), [])
        score, widgets = _evidently(column, method, before.values, now.values, policy.threshold)
    except (ValueError, TypeError, NotImplementedError) as error:
        reason = f"could not be measured: {type(error).__name__}: {error}"
        return _Column(answer(Verdict.INCONCLUSIVE, reason), [])
    observed = max(score, gap)
    verdict = Verdict.FAIL if observed >= policy.threshold else Verdict.PASS
    reason = f"{_METHODS[method]} {score:.3f}{f'; {gaps}' if now.missing or before.missing else ''}"
    return _Column(answer(verdict, reason, observed, rows), widgets)


def _too_few(least: int, before: _Side, now: _Side) -> str:
    sides = {"reference": len(before.values), "current": len(now.values)}
    few = [f"{rows} {side} rows have a value" for side, rows in sides.items() if rows < least]
    return f"{' and '.join(few)}; {least} are needed" if few else ""


def _side(table: pa.Table, column: str, method: str) -> _Side:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    if column not in table.column_names:
        raise ValueError("there is no such column")
    cells = table[column]
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    if method == _WASSERSTEIN:
        numbers = cells.cast(pa.float64(), safe=False).to_numpy()
        values = pd.Series(numbers[np.isfinite(numbers)])
    else:
        values = pd.Series(cells.cast(pa.string()).drop_null().to_numpy(), dtype=object)
    rows = table.num_rows
    return _Side(values, rows, 1 - len(values) / rows if rows else 0.0)


def _evidently(
    column: str, method: str, reference: pd.Series, current: pd.Series, threshold: float
) -> tuple[float, list[Any]]:
    from evidently import DataDefinition, Dataset, Report
    from evidently.core.report import ReferenceMetricNotFound
    from evidently.metrics import ValueDrift

    label = _escape(column)
    if method == _WASSERSTEIN:
        reference, current = _visible(reference, current)
        definition = DataDefinition(numerical_columns=[label])
    else:
        reference, current = _categories(reference, current)
        definition = DataDefinition(categorical_columns=[label])
    try:
        snapshot = Report([ValueDrift(column=label, method=method, threshold=threshold)]).run(
            Dataset.from_pandas(current.to_frame(label), definition),
            Dataset.from_pandas(reference.to_frame(label), definition),
        )
    # Evidently raises errors of any class here, and this one derives from BaseException.
    except (Exception, ReferenceMetricNotFound) as error:
        raise ValueError(f"Evidently: {type(error).__name__}: {error}") from error
    (result,) = snapshot.metric_results.values()
    score = float(result.value)
    if not math.isfinite(score):
        raise ValueError("Evidently found no finite distance")
    # The sum over categories runs in the order of a set of strings, which differs from process to process.
    return round(score, 6), result.get_widgets()


def _visible(reference: pd.Series, current: pd.Series) -> tuple[pd.Series, pd.Series]:
    spread = reference.std(ddof=0)
    # Evidently divides by at least 0.001, so a column of a smaller scale would never drift.
    scale = spread if 0 < spread < 0.001 else 1.0
    return reference / scale, current / scale


def _categories(reference: pd.Series, current: pd.Series) -> tuple[pd.Series, pd.Series]:
    shares = reference.value_counts(normalize=True).add(current.value_counts(normalize=True), fill_value=0.0)
    frequent = set(sorted(shares.index, key=lambda category: (-shares[category], category))[:CATEGORIES])
    known = set(reference)

    def label(category: str) -> str:
        if category in frequent:
            return _escape(category)
        return _RARE if category in known else _UNSEEN

    # By unique value: a call for each row would cost more than the distance.
    before, now = (
        side.map({value: label(value) for value in side.unique()}) for side in (reference, current)
    )
    return before, now


def _escape(text: str) -> str:
    # Evidently writes data into a script element as it is; Plotly shows these three as what they stand for.
    return html.escape(text, quote=False)


def _overall(checks: Sequence[Check], policy: DriftPolicy, rows: int, sampling: str) -> Check:
    drifted = [check for check in checks if check.verdict is Verdict.FAIL]
    measured = sum(check.verdict is not Verdict.INCONCLUSIVE for check in checks)
    share = len(drifted) / measured if measured else None
    if share is None or 2 * measured < len(checks):
        # What is known may be enough: the columns that could not be measured cannot undo it.
        certain = bool(checks) and len(drifted) / len(checks) >= policy.columns
        verdict = Verdict.FAIL if drifted and certain else Verdict.INCONCLUSIVE
    else:
        verdict = Verdict.FAIL if drifted and share >= policy.columns else Verdict.PASS
    worst = sorted(drifted, key=lambda check: (-(check.observed or 0.0), check.name))[:3]
    named = ", ".join(f"{check.name.removeprefix('drift.')} {check.observed:.3f}" for check in worst)
    reason = f"{len(drifted)} of {measured} measured columns drifted{f' (most: {named})' if named else ''}"
    if measured < len(checks):
        reason += f"; {len(checks) - measured} could not be measured"
    return Check(
        name="drift",
        verdict=verdict,
        expected=f"< {policy.columns:g} of columns",
        observed=share,
        n=rows,
        reason=reason + sampling,
    )


def _page(title: str, checks: Sequence[Check], widgets: list[Any]) -> str:
    from evidently.core.metric_types import render_widgets
    from evidently.legacy.renderers.html_widgets import group_widget, table_data

    facts = [
        [_escape(check.name), check.verdict, check.expected, check.observed, check.n, _escape(check.reason)]
        for check in checks
    ]
    table = table_data(
        column_names=["check", "verdict", "expected", "observed", "rows", "reason"],
        data=facts,
    )
    page: str = render_widgets([group_widget(title=_escape(title), widgets=[table, *widgets])])
    return page
