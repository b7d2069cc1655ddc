"""Which window of partitions a model has learned from, and why that one."""

from __future__ import annotations

from typing import Literal

from airflow_mlops.domain.checks import Fact, Number


class WindowChoice(Fact):
    """The window that a model was fitted to, of several.

    :param chosen: number of partitions, or ``all``.
    :param partition: the newest training partition, whose rows each window was measured on, fitted to its rows before.
    :param scores: the training metric of each window there, the longest first; None of one that could not be measured.
    """

    chosen: Literal["all"] | int
    partition: str
    scores: dict[str, Number]

    @property
    def phrase(self) -> str:
        """What was learned from, as in "learned from the last 3 partitions"."""
        return "all partitions" if self.chosen == "all" else f"the last {self.chosen} partitions"
