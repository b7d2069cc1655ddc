"""Leakage: rows of the holdout that a model was trained on, and features that give the target away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.facts.recipe import LEAST_OF_A_CLASS
from airflow_mlops.domain.policies import gates_data
from airflow_mlops.exceptions import LeakedRows
from airflow_mlops.learning.statistics import measures
from airflow_mlops.stores.tables import digests

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from airflow_mlops.domain.facts.origin import ForeignOrigin
    from airflow_mlops.domain.facts.results import DatasetVersion, Split
    from airflow_mlops.domain.spec.model import Features

_ROWS = 20_000
_BINS = 256
_ROWS_PER_BIN = 20
_EXAMPLES = 3
MOST_CLASSES = 10
"""Classes, the most frequent ones, that a feature alone is tried on."""


def untouched(
    holdout: pa.Table,
    seen: pa.Table,
    dataset: DatasetVersion,
    split: Split,
    origin: ForeignOrigin | None = None,
) -> Check:
    """Prove that no row of the holdout is among those that a candidate learned from, by time and by key.

    :param holdout: rows with the dataset's key and event time.
    :param seen: key and event time of the rows before the holdout; more of them do no harm.
    :param split: which rows the candidate learned from.
    :param origin: where it comes from, if it was trained elsewhere.
    :raises LeakedRows: if rows of the holdout lie outside its span of time: the caller has read the wrong rows.
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
    leaked = holdout.select(list(dataset.key)).filter(_has_key_of(trained, holdout, dataset.key))
    examples = [
        ", ".join(str(value) for value in row.values()) for row in leaked.slice(0, _EXAMPLES).to_pylist()
    ]
    return gates_data.untouched(leaked.num_rows, holdout.num_rows, examples, trained.num_rows, origin)


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
    return int(np.sum(by_time | _has_key_of(trained, holdout, dataset.key)))


def _between(rows: pa.Table, event_time: str, since: datetime, until: datetime) -> pa.Table:
    import pyarrow.compute as pc

    times = rows[event_time]
    return rows.filter(pc.and_(pc.greater_equal(times, since), pc.less(times, until)))


def _has_key_of(others: pa.Table, rows: pa.Table, key: tuple[str, ...]) -> np.ndarray:
    """Return for each row whether one of the other rows has the same key."""
    import numpy as np

    names = list(key)
    return np.isin(digests.rows(rows.select(names)), digests.rows(others.select(names)))


def alone(
    frame: pd.DataFrame,
    features: Features,
    truth: np.ndarray,
    task: str,
    groups: np.ndarray | None = None,
) -> dict[str, float] | None:
    """Return how well each feature by itself predicts the target: its ROC AUC, or the R2 of a regression.

    The rows are split into halves. The prediction for a row is the mean target of the rows of the other half that have the
    same value of the feature. Numbers are put into up to 256 bins of equally many rows. So a text that differs in every
    row predicts nothing, and a feature that is missing wherever the target is 1 predicts the target. Texts are taken whole,
    not by their words.

    :param frame: features, as :func:`pipeline.frame` prepares them; of many rows, a sample of evenly spaced ones is used,
        with all rows of the rarer class, up to half of the sample.
    :param groups: number of each row's group, whose rows all go to one half; None if there are none.
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
        # Rows go to the halves in turn, so that each half has every time of the year, and its part of a rare class.
        turns.append(np.arange(some.size) % 2 == 0)
    chosen, half = np.concatenate(picked), np.concatenate(turns)
    frame, truth = frame.iloc[chosen], truth[chosen]
    if groups is not None:
        half = np.unique(groups[chosen], return_inverse=True)[1] % 2 == 0
    scores: dict[str, float] = {}
    for name in features.names:
        codes = _codes(frame[name], name in (*features.numeric, *features.dates))
        predicted = np.where(half, _means(codes, truth, ~half)[codes], _means(codes, truth, half)[codes])
        score = measures.measure(metric, truth, predicted)
        if score is None:
            return None
        scores[name] = max(
            score, _line(frame[name], truth) if metric == "r2" and name in features.numeric else 0.0
        )
    return scores


def alone_of_many(
    frame: pd.DataFrame,
    features: Features,
    truth: np.ndarray,
    classes: int,
    groups: np.ndarray | None = None,
) -> dict[str, float] | None:
    """Return for each feature how well it predicts the class that it predicts best, against the rest, as :func:`alone` does.

    Of many classes the :data:`MOST_CLASSES` most frequent are looked at.

    :param truth: codes of classes.
    :param groups: see :func:`alone`.
    :returns: None if no class has ten rows, and ten against it.
    """
    import numpy as np

    counts = np.bincount(truth[truth >= 0], minlength=classes)
    scores: dict[str, float] = {}
    for code in np.argsort(-counts, kind="stable")[:MOST_CLASSES]:
        against_rest = alone(frame, features, truth == code, "classification", groups)
        for name, score in (against_rest or {}).items():
            scores[name] = max(score, scores.get(name, 0.0))
    return scores or None


def _spaced(places: np.ndarray, most: int) -> np.ndarray:
    import numpy as np

    return places[np.linspace(0, places.size - 1, min(most, places.size)).astype(np.int64)]


def _codes(column: pd.Series, numeric: bool) -> np.ndarray:
    import numpy as np
    import pandas as pd

    if numeric:
        valid = column[column.notna()]
        number = int(np.clip(column.size // _ROWS_PER_BIN, 2, _BINS))
        edges = np.unique(np.quantile(valid, np.linspace(0, 1, number + 1))) if valid.size else np.array([])
        places = np.searchsorted(edges, column.to_numpy(), side="left")
        return np.where(column.isna(), edges.size + 1, places)
    codes, _ = pd.factorize(column, use_na_sentinel=False)
    return np.asarray(codes)


def _means(codes: np.ndarray, truth: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Return the mean target of each code within a half; for a code that the half lacks, the mean of the half."""
    import numpy as np

    size = int(codes.max()) + 1
    counts = np.bincount(codes[half], minlength=size)
    sums = np.bincount(codes[half], weights=truth[half], minlength=size)
    return np.where(counts, sums / np.maximum(counts, 1), truth[half].mean() if half.any() else 0.0)


def _line(column: pd.Series, truth: np.ndarray) -> float:
    """Return the R2 of the best straight line, since bins hide a copy of the target that has far outliers."""
    import numpy as np

    valid = column.notna().to_numpy()
    if valid.mean() < 0.5 or not column[valid].std() or not truth[valid].std():
        return 0.0
    return float(np.corrcoef(column[valid], truth[valid])[0, 1] ** 2)
