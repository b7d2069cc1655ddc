"""Facts about the choice of a policy: what each came to where it was chosen, and what the chosen one comes to on the rest."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from airflow_mlops.domain.checks import Fact, Interval, Number
from airflow_mlops.domain.facts.replay import Summary


class Figures(Fact):
    """What one policy came to in a part of the history.

    :param proper: mean of the proper score over the partitions.
    """

    summary: Summary
    proper: Number


class Tried(Fact):
    """One policy in the part of the history that is chosen by.

    :param name: of the policy in the replay.
    :param changes: what it changes in the spec, by key.
    :param behind: how much worse its mean of the metric is than the best one's, by partition; None if it left partitions without a
        model that others served, so that it cannot be compared.
    :param noise: standard error of that difference.
    :param close: whether the difference is within the noise.
    """

    name: str
    changes: dict[str, Any] = Field(default_factory=dict)
    figures: Figures
    behind: Number
    noise: Number
    close: bool


class GainOver(Fact):
    """The chosen policy beside another one, partition by partition, on the rest of the history.

    :param policy: name of the other one.
    :param score: what both are measured by; differences of ``rmse`` are those of squared errors.
    :param gain: mean difference, positive where the chosen policy is better; None if no partition has both.
    :param interval: its 95 % interval over blocks of partitions; None if there are too few.
    :param n: number of partitions.
    """

    policy: str
    score: str
    gain: Number
    interval: Interval
    n: int


class Tuning(Fact):
    """The choice of a policy, and what it is worth.

    :param metric: the one that models are ranked by, and that the policy is chosen by.
    :param proper: the proper score of the task.
    :param first: partitions that it was chosen by.
    :param rest: partitions after them, which the choice has not seen.
    :param tried: the policies to choose from.
    :param best: name of the one with the best mean on the first part.
    :param chosen: name of the one that trains least of those within noise of the best.
    :param figures: of the chosen policy and of the replay's own, on the rest, by name.
    :param beside: the chosen one beside each of these.
    """

    model: str
    metric: str
    proper: str
    first: tuple[str, ...]
    rest: tuple[str, ...]
    tried: tuple[Tried, ...]
    best: str
    chosen: str
    figures: dict[str, Figures]
    beside: tuple[GainOver, ...]

    def number(self, name: str) -> str:
        """Return a policy as people are told of it: by its number among those tried, or its own name."""
        names = [tried.name for tried in self.tried]
        return f"policy {names.index(name) + 1}" if name.startswith("grid-") else name

    def of(self, name: str) -> Tried:
        """Return a policy that was tried."""
        return next(tried for tried in self.tried if tried.name == name)
