"""The decision of a version: from which probability on it puts a row in the second of two classes, or which costs it weighs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field

from airflow_mlops.domain.checks import Fact
from airflow_mlops.domain.spec.costs import CostMatrix, Costs


class DecisionRule(Fact):
    """From which probability on a version puts a row in the second of two classes, and what mistakes cost.

    :param threshold: rows of this probability or more are put in the second class.
    :param costs: what metrics count mistakes by; None if there are no costs.
    :param places: positions of the version's two classes among those that rows are judged by, if these are more; with a matrix,
        of the classes that it is about.
    :param matrix: what the version weighs against each other: it puts a row in the class of least expected cost, of more than
        two; each row is a true class, each column one that is chosen. None if a threshold decides, or the greatest probability.
    :param reason: how the threshold was chosen, in words.
    :param positive: share of the validation rows that it puts in the second class; None if it was not chosen on any.
    """

    threshold: float = 0.5
    costs: Costs | CostMatrix | None = Field(default=None, exclude_if=lambda costs: costs is None)
    places: tuple[int, ...] = Field(default=(0, 1), exclude_if=lambda places: places == (0, 1))
    matrix: tuple[tuple[float, ...], ...] | None = Field(
        default=None, exclude_if=lambda matrix: matrix is None
    )
    reason: str = Field(default="", exclude_if=lambda reason: not reason)
    positive: float | None = Field(default=None, exclude_if=lambda share: share is None)

    @property
    def usual(self) -> bool:
        """Whether it decides as where a spec says nothing."""
        return self.threshold == HALF.threshold and self.matrix is None

    def counting(self, costs: Costs | CostMatrix | None) -> Self:
        """Return the same decision with the costs that metrics are to count."""
        return self.model_copy(update={"costs": costs})

    def among(self, own: Sequence[str], judged: Sequence[str]) -> Self:
        """Return the same for probabilities of other classes.

        :param own: the classes of the version.
        :param judged: the order of the probabilities.
        """
        if len(own) != 2 and self.matrix is None:
            return self
        order, places = list(judged), (0, 1) if self.matrix is None else self.places
        return self.model_copy(update={"places": tuple(order.index(own[place]) for place in places)})


HALF = DecisionRule()
"""The decision where a spec says nothing: the more probable class, and at 0.5 the second of two."""
