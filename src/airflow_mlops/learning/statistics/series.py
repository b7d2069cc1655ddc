"""Scores by partition: values of which more is better, and how much their mean may owe to chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from airflow_mlops.domain.metrics import metric_of

if TYPE_CHECKING:
    import numpy as np

_DRAWS = 2000


class InPartition(Protocol):
    """A partition with metrics of what was served in it."""

    @property
    def quality(self) -> Mapping[str, float | None]:
        """Value by name of the metric; None where it is undefined."""
        ...


def values(partitions: Sequence[InPartition], score: str) -> np.ndarray:
    """Return a score by partition, so that more is better; not a number where there is none.

    Of ``rmse`` it is the squared error, whose mean over partitions is one over rows; of other losses the negative.
    """
    import numpy as np

    raw = (partition.quality.get(score) for partition in partitions)
    scores = np.array([math.nan if value is None else value for value in raw], dtype=float)
    if score == "rmse":
        scores = np.square(scores)
    return scores if metric_of(score).greater_is_better else -scores


def draws(size: int, seed: int = 0) -> np.ndarray:
    """Draw partitions again, in blocks, since neighbours are alike: Künsch, The Jackknife and the Bootstrap (1989).

    Blocks go around the end, so that each partition is drawn as often: Politis and Romano, A Circular Block-Resampling Procedure
    for Stationary Data (1992). They are as long as the cube root of their number, the rate that Hall, Horowitz and Jing, On
    Blocking Rules for the Bootstrap with Dependent Data (1995), find best for a variance.

    :param size: number of partitions.
    :param seed: equal seeds give equal draws.
    :return: places of partitions, one row a draw.
    """
    import numpy as np

    random, length = np.random.default_rng(seed), max(1, round(math.cbrt(size)))
    starts = random.integers(0, size, (_DRAWS, math.ceil(size / length)))
    places = (starts[:, :, None] + np.arange(length)) % size
    drawn: np.ndarray = places.reshape(_DRAWS, -1)[:, :size]
    return drawn


def interval(value: float, drawn: np.ndarray) -> tuple[float, float, float]:
    """Return a value with its 95 % interval, by the percentiles of its draws."""
    import numpy as np

    low, high = np.quantile(drawn, (0.025, 0.975))
    return value, float(low), float(high)
