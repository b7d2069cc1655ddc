"""Concept drift: detect in the stream of the champion's errors whether they have become larger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.policies.gates import FAIL, INCONCLUSIVE, PASS
from airflow_mlops.learning.labels.coding import Coding
from airflow_mlops.learning.statistics import decisions

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pyarrow as pa

LONGEST = 200_000
"""Maximum number of errors, the newest, that the detector reads; these take some tenths of a second."""
_EXPECTED = "errors no larger than before"


def concept(
    rows: pa.Table | None,
    *,
    since: datetime,
    event_time: str,
    matured: str,
    coding: Coding,
    chance: float,
    least: int,
) -> Check:
    """Check whether errors that matured since a time are larger than earlier errors of the same model.

    The errors (0 or 1 for the chosen class, the absolute error for a number) are read in the order of their
    event time by river's ADWIN: Bifet and Gavaldà, Learning from Time-Changing Data with Adaptive Windowing
    (2007). It keeps no state between runs and draws nothing at random: the same rows give the same check.

    :param rows: predictions of one version, with labels; None if there are none.
    :param coding: how labels are compared with the predictions.
    :param matured: column of the time from which a label counts.
    :param chance: chance of a false alarm, ADWIN's δ.
    :param least: number of rows below which the check is INCONCLUSIVE.
    """
    try:
        from river.drift import ADWIN
    except ImportError:
        return _check(INCONCLUSIVE, "river is not installed: pip install 'airflow-mlops[concept]'")
    if rows is None or rows.num_rows < least:
        return _check(INCONCLUSIVE, f"{rows.num_rows if rows else 0:,} rows with labels; {least} are needed")
    rows = rows.sort_by([(event_time, "ascending")])[-LONGEST:]
    errors = _errors(rows, coding)
    # ADWIN expects errors from 0 to 1, and does not check that.
    scale = float(errors.max()) or 1.0
    new = rows[matured].cast("timestamp[us]").to_numpy() >= _micros(since)
    detector, place, before = ADWIN(delta=chance), None, 0.0  # type: ignore[no-untyped-call]
    for number, error in enumerate((errors / scale).tolist()):
        mean = detector.estimation
        detector.update(error)  # type: ignore[no-untyped-call]
        if detector.drift_detected and new[number] and detector.estimation > mean:
            place, before = number, mean * scale
    observed = float(detector.estimation) * scale
    if place is None:
        return _check(PASS, f"no rise of the mean error, {observed:.4g}", observed, rows.num_rows)
    at = rows[event_time][place].as_py()
    reason = f"the mean error rose from {before:.4g} to {observed:.4g}, seen at {at:%Y-%m-%d %H:%M} UTC"
    return _check(FAIL, reason, observed, rows.num_rows, before)


def _errors(rows: pa.Table, coding: Coding) -> np.ndarray:
    import numpy as np

    truth, predicted = coding.widened(rows).arrays(rows)
    if coding.task == "classification":
        wrong: np.ndarray = decisions.chosen(predicted, coding.decision) != truth
        return wrong.astype(float)
    errors: np.ndarray = np.abs(truth - predicted)
    return errors


def _micros(moment: datetime) -> np.datetime64:
    import numpy as np

    return np.datetime64(moment.replace(tzinfo=None), "us")


def _check(
    verdict: Verdict,
    reason: str,
    observed: float | None = None,
    n: int | None = None,
    baseline: float | None = None,
) -> Check:
    return Check(
        name="concept",
        verdict=verdict,
        expected=_EXPECTED,
        observed=observed,
        baseline=baseline,
        n=n,
        reason=reason,
    )
