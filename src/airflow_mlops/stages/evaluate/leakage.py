"""Leakage: rows that were learned from among those that are judged on, and features that give the target away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.policies import gates_data
from airflow_mlops.exceptions import LeakedRows
from airflow_mlops.learning.statistics import measures
from airflow_mlops.stores.tables import digests

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from airflow_mlops.domain.facts.results import DatasetVersion, Split
    from airflow_mlops.domain.spec.model import Features

_ROWS = 20_000
_BINS = 256
_ROWS_PER_BIN = 20
_EXAMPLES = 3
LEAST_OF_A_CLASS = 10
"""Rows of either class below which a feature may seem to predict them by chance."""


def untouched(holdout: pa.Table, seen: pa.Table, dataset: DatasetVersion, split: Split) -> Check:
    """Prove that no row of the holdout is among those that a candidate learned from, by time and by key.

    :param holdout: rows with the dataset's key and event time.
    :param seen: key and event time of the rows before the holdout; more of them do no harm.
    :param split: which rows the candidate learned from.
    :raises LeakedRows: if rows of the holdout are not of its span of time; whoever read them read the wrong ones.
    """
    import pyarrow.compute as pc

    times = holdout[dataset.event_time]
    outside = pc.invert(pc.and_(pc.greater_equal(times, split.cut), pc.less(times, split.end)))
    if count := pc.sum(pc.cast(outside, "int64")).as_py():
        raise LeakedRows(
            f"{count:,} of {holdout.num_rows:,} rows are not of the holdout from {split.cut:%Y-%m-%d %H:%M} to "
            f"{split.end:%Y-%m-%d %H:%M}: the candidate learned from what was before."
        )
    trained = _between(seen, dataset.event_time, split.start, split.cut)
    leaked = holdout.select(list(dataset.key)).filter(_known(holdout, trained, dataset.key))
    examples = [
        ", ".join(str(value) for value in row.values()) for row in leaked.slice(0, _EXAMPLES).to_pylist()
    ]
    return gates_data.untouched(leaked.num_rows, holdout.num_rows, examples, trained.num_rows)


def learned_from(holdout: pa.Table, seen: pa.Table, dataset: DatasetVersion, split: Split) -> int:
    """Count the rows of the holdout that another model learned from, by time or by key.

    :param seen: key and event time of the rows before the holdout.
    :param split: which rows that model learned from.
    """
    import numpy as np
    import pyarrow.compute as pc

    times = holdout[dataset.event_time]
    by_time = pc.and_(pc.greater_equal(times, split.start), pc.less(times, split.cut)).to_numpy()
    trained = _between(seen, dataset.event_time, split.start, split.cut)
    return int(np.sum(by_time | _known(holdout, trained, dataset.key)))


def _between(rows: pa.Table, event_time: str, since: datetime, until: datetime) -> pa.Table:
    import pyarrow.compute as pc

    times = rows[event_time]
    return rows.filter(pc.and_(pc.greater_equal(times, since), pc.less(times, until)))


def _known(rows: pa.Table, others: pa.Table, key: tuple[str, ...]) -> np.ndarray:
    """Tell which rows have a key that others have."""
    import numpy as np

    names = list(key)
    return np.isin(digests.rows(rows.select(names)), digests.rows(others.select(names)))


def alone(frame: pd.DataFrame, features: Features, truth: np.ndarray, task: str) -> dict[str, float] | None:
    """Return how well each feature by itself predicts the target: its ROC AUC, or the R2 of a regression.

    A feature predicts the mean target of the rows of the other half that have the same value, numbers being put in up to
    256 bins of as many rows; so a text that is another one in each row predicts nothing, and a feature that is missing
    wherever the target is 1 predicts it.

    :param frame: features, as :func:`pipeline.frame` prepares them; of many rows, evenly spaced ones are used, of the
        rarer class as many as there are, up to half.
    :returns: None if the target is the same everywhere, or has fewer than ten rows of one class.
    """
    import numpy as np

    truth = np.asarray(truth, dtype=float)
    metric = "roc_auc" if task == "classification" else "r2"
    kinds = (
        [np.flatnonzero(truth == label) for label in (0, 1)]
        if metric == "roc_auc"
        else [np.arange(truth.size)]
    )
    kinds.sort(key=len)
    if metric == "roc_auc" and kinds[0].size < LEAST_OF_A_CLASS:
        return None
    left = _ROWS
    picked, turns = [], []
    for place, kind in enumerate(kinds):
        some = _spaced(kind, left // (len(kinds) - place))
        left -= some.size
        picked.append(some)
        # The halves take turns, so that each has every time of the year, and its part of a rare class.
        turns.append(np.arange(some.size) % 2 == 0)
    chosen, half = np.concatenate(picked), np.concatenate(turns)
    frame, truth = frame.iloc[chosen], truth[chosen]
    found: dict[str, float] = {}
    for name in features.names:
        codes = _codes(frame[name], name not in features.categorical)
        predicted = np.where(half, _means(codes, truth, ~half)[codes], _means(codes, truth, half)[codes])
        value = measures.measure(metric, truth, predicted)
        if value is None:
            return None
        found[name] = max(
            value, _line(frame[name], truth) if metric == "r2" and name in features.numeric else 0.0
        )
    return found


def _spaced(places: np.ndarray, most: int) -> np.ndarray:
    import numpy as np

    return places[np.linspace(0, places.size - 1, min(most, places.size)).astype(np.int64)]


def _codes(values: pd.Series, numeric: bool) -> np.ndarray:
    import numpy as np
    import pandas as pd

    if numeric:
        known = values[values.notna()]
        number = int(np.clip(values.size // _ROWS_PER_BIN, 2, _BINS))
        edges = np.unique(np.quantile(known, np.linspace(0, 1, number + 1))) if known.size else np.array([])
        places = np.searchsorted(edges, values.to_numpy(), side="left")
        return np.where(values.isna(), edges.size + 1, places)
    codes, _ = pd.factorize(values, use_na_sentinel=False)
    return np.asarray(codes)


def _means(codes: np.ndarray, truth: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Return the mean target of each code within a half; that of the half for a code that it has not."""
    import numpy as np

    size = int(codes.max()) + 1
    counts = np.bincount(codes[half], minlength=size)
    sums = np.bincount(codes[half], weights=truth[half], minlength=size)
    return np.where(counts, sums / np.maximum(counts, 1), truth[half].mean() if half.any() else 0.0)


def _line(values: pd.Series, truth: np.ndarray) -> float:
    """Return the R2 of the best straight line: what bins lose of a copy with far outliers."""
    import numpy as np

    known = values.notna().to_numpy()
    if known.mean() < 0.5 or not values[known].std() or not truth[known].std():
        return 0.0
    return float(np.corrcoef(values[known], truth[known])[0, 1] ** 2)
