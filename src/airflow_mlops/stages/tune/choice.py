"""The choice among policies by their scores, and the comparison of the chosen one with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.exceptions import NotEnoughData
from airflow_mlops.learning.statistics import resampling, series

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.learning.statistics.series import InPartition

LEAST = 2
"""Fewest partitions with a model that policies can be chosen by: one has no spread."""
NEEDED = 2 * resampling.LEAST_BLOCKS
"""Partitions that an interval takes: as many blocks of two neighbours as the intervals of rows take days."""


class Distance(NamedTuple):
    """How far a policy is from the best one.

    :param behind: mean difference by partition, not negative; None if it cannot be compared.
    :param noise: standard error of that difference.
    """

    behind: float | None
    noise: float | None

    @property
    def close(self) -> bool:
        """Whether the difference is within its noise."""
        return self.behind is not None and self.noise is not None and self.behind <= self.noise


def distances(steps: Mapping[str, Sequence[InPartition]], metric: str) -> dict[str, Distance]:
    """Return how far each policy is from the one with the best mean, with the error of that by blocks of partitions.

    What makes a partition hard is the same for all policies, so the difference is known better than each mean. Policies that left
    partitions without a model, which others served, are not compared.

    :param steps: of each policy, the same partitions.
    :raises NotEnoughData: if fewer than :data:`LEAST` partitions have a model.
    """
    import numpy as np

    scores = {name: series.values(policy_steps, metric) for name, policy_steps in steps.items()}
    there = {name: np.isfinite(values) for name, values in scores.items()}
    most = max(there.values(), key=lambda mask: int(mask.sum()))
    if (served := int(most.sum())) < LEAST:
        raise NotEnoughData(
            f"{served} of the partitions to choose by have a model and labels; {LEAST} are needed: let --choose-until name a later one"
        )
    compared = {name: scores[name][most] for name in scores if bool(there[name][most].all())}
    best = max(compared.values(), key=lambda values: float(values.mean()))
    drawn = series.draws(served)
    return {name: _distance(best, compared.get(name), drawn) for name in scores}


def _distance(best: np.ndarray, values: np.ndarray | None, drawn: np.ndarray) -> Distance:
    if values is None:
        return Distance(None, None)
    lost = best - values
    return Distance(float(lost.mean()), float(lost[drawn].mean(axis=1).std(ddof=1)))


def best(distances: Mapping[str, Distance]) -> str:
    """Return the name of the policy with the best mean."""
    return min(
        (name for name in distances if distances[name].behind is not None),
        key=lambda name: distances[name].behind or 0.0,
    )


def chosen(distances: Mapping[str, Distance], trainings: Mapping[str, int]) -> str:
    """Return the policy that trains least among those within noise of the best one.

    This is the rule of one standard error, by which the simplest of the models is taken that the best one is not shown to beat:
    Breiman, Friedman, Olshen and Stone, *Classification and Regression Trees* (1984), section 3.4.3; here of the paired difference.
    Of equals the better one is taken, and then the first.
    """
    close = [name for name, distance in distances.items() if distance.close]
    return min(close, key=lambda name: (trainings[name], distances[name].behind or 0.0))


class Gain(NamedTuple):
    """How much better one policy is than another.

    :param value: mean difference by partition; None if no partition has both.
    :param interval: its 95 % interval; None if there are too few partitions.
    :param n: number of partitions.
    """

    value: float | None
    interval: tuple[float, float] | None
    n: int


def gain(ours: Sequence[InPartition], theirs: Sequence[InPartition], score: str) -> Gain:
    """Compare two policies in the same partitions."""
    import numpy as np

    difference = series.values(ours, score) - series.values(theirs, score)
    difference = difference[np.isfinite(difference)]
    if not difference.size:
        return Gain(None, None, 0)
    mean = float(difference.mean())
    if difference.size < NEEDED:
        return Gain(mean, None, difference.size)
    _, *interval = series.interval(mean, difference[series.draws(difference.size)].mean(axis=1))
    return Gain(mean, (interval[0], interval[1]), difference.size)
