"""Folds: spans of time that a search validates on, each fitted to the rows before."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.exceptions import NotEnoughData

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.stages.train.fitting import Data

log = logging.getLogger(__name__)

_PARTS = 5


class Fold(NamedTuple):
    """Rows ``0 <= fitted < cut <= validated < end``, by position."""

    cut: int
    end: int


def folds(data: Data, count: int, task: str) -> list[Fold]:
    """Return the latest fifths of the rows, the earliest fifth first.

    Rows of one time stay together, unless all rows have the same time. A fold is left out if that makes it empty, or if
    the rows before it hold one class only and the task is a classification, or those of all of its groups.

    :param count: of folds, at most 4.
    :raises NotEnoughData: if no fold is left.
    """
    import numpy as np

    rows = data.times.size
    cuts = [_cut(data.times, rows * (_PARTS - count + fold) // _PARTS) for fold in range(count)]
    bounds = np.unique([cut for cut in cuts if cut] or [rows * (_PARTS - 1) // _PARTS])
    spans = [Fold(int(cut), int(end)) for cut, end in zip(bounds, [*bounds[1:], rows], strict=True)]
    if task == "classification":
        spans = [fold for fold in spans if np.unique(data.labels[: fold.cut]).size > 1]
    if not spans:
        raise NotEnoughData(
            f"All of the earliest {bounds[-1]} of {rows} rows to fit on have the label {data.classes[data.labels[0]]}: "
            "a longer train.window, or later partitions, may bring others."
        )
    if not (apart := [fold for fold in spans if validated(data, fold).labels.size]):
        raise NotEnoughData(
            f"No candidate can be ranked: in the latest {rows - bounds[0]:,} of {rows:,} training rows, each is of a group of "
            "train.groups that came before."
        )
    spans = apart
    if len(spans) < count:
        log.warning("Only %d of %d folds can be told apart by time and classes.", len(spans), count)
    return spans


def validated(data: Data, fold: Fold) -> Data:
    """Return the rows that a model fitted to the rows before a fold is measured on: those of groups that are new in it."""
    import numpy as np

    later = data.between(fold.cut, fold.end)
    if data.groups is None or later.groups is None:
        return later
    new = ~np.isin(later.groups, data.groups[: fold.cut])
    return later if new.all() else later.take(new)


def _cut(times: np.ndarray, position: int) -> int:
    import numpy as np

    return int(np.searchsorted(times, times[position]))
