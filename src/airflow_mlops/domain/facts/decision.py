"""The decision of a version: from which probability on it puts a row in the second of two classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field

from airflow_mlops.domain.checks import Fact
from airflow_mlops.domain.spec.decision import Costs


class DecisionRule(Fact):
    """From which probability on a version puts a row in the second of two classes, and what mistakes cost.

    :param threshold: rows of this probability or more are put in the second class.
    :param costs: what metrics count mistakes by; None if there are no costs.
    :param places: positions of the version's two classes among those that rows are judged by, if these are more.
    :param reason: how the threshold was chosen, in words.
    :param positive: share of the validation rows that it puts in the second class; None if it was not chosen on any.
    """

    threshold: float = 0.5
    costs: Costs | None = Field(default=None, exclude_if=lambda costs: costs is None)
    places: tuple[int, int] = Field(default=(0, 1), exclude_if=lambda places: places == (0, 1))
    reason: str = Field(default="", exclude_if=lambda reason: not reason)
    positive: float | None = Field(default=None, exclude_if=lambda share: share is None)

    def counting(self, costs: Costs | None) -> Self:
        """Return the same threshold with the costs that metrics are to count."""
        return self.model_copy(update={"costs": costs})

    def among(self, own: Sequence[str], judged: Sequence[str]) -> Self:
        """Return the same for probabilities of other classes.

        :param own: the two classes of the version; others are left alone.
        :param judged: the order of the probabilities.
        """
        if len(own) != 2:
            return self
        order = list(judged)
        return self.model_copy(update={"places": (order.index(own[0]), order.index(own[1]))})


HALF = DecisionRule()
"""The decision where a spec says nothing: the more probable class, and at 0.5 the second of two."""
