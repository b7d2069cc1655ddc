"""Facts about scoring: the predictions of a partition, and a challenger that predicts beside the champion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from airflow_mlops.domain.checks import Check, Fact, Number, Verdict, refuse_contradiction
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef, PromotionDecision

WINDOWS = "shadow.windows"
"""Name of the check that counts a challenger's clean windows."""


class ShadowReport(Fact):
    """How the predictions of a challenger compare with the champion's, on the rows of one partition.

    :param version: the challenger's version.
    :param digest: digest of the challenger's content.
    :param uri: the Delta table with the predictions of both.
    :param rows: number of rows that both have predicted; 0 if the challenger could not predict.
    :param served: number of rows whose served prediction is the challenger's.
    :param agreement: share of the rows that both put in the same class; None for regression.
    :param correlation: Pearson's correlation of the predictions; None if either model predicts the same for all rows.
    :param difference: mean absolute difference of the predictions; of more than two classes, these are the probabilities of
        all classes.
    :param divergence: root mean square of the difference, in standard deviations of the champion's predictions: 0 means
        equal predictions, above 1 they have nothing in common; None if the champion predicts the same for all rows.
    :param problem: why the challenger could not predict, and what to do; "" if it could.
    """

    version: str
    digest: str
    uri: str
    rows: int
    served: int = 0
    agreement: Number = None
    correlation: Number = None
    difference: Number = None
    divergence: Number = None
    problem: str = ""


class ScoringReport(Fact):
    """The predictions of one partition.

    :param rows: number of predictions; 0 while there is no champion.
    :param uri: the Delta table with the predictions.
    :param written: False if the table had the same predictions already.
    :param shadow: the report on a challenger that has predicted the same rows; None if there was no challenger.
    :param outputs: where else the predictions were written, in words.
    :param classes: by version, the classes of those that have predicted, in the order of their probabilities, if there are
        more than two.
    """

    model: str
    dataset: DatasetVersion
    partition: str
    rows: int
    champion: ModelRef | None
    uri: str
    written: bool
    reason: str
    shadow: ShadowReport | None = None
    outputs: tuple[str, ...] = ()
    classes: dict[str, tuple[str, ...]] = Field(default_factory=dict, exclude_if=lambda orders: not orders)


class ShadowWindow(Fact):
    """How a challenger did in one partition of its trial.

    :param verdict: PASS makes the window clean, FAIL starts the count of clean windows again, and INCONCLUSIVE does
        neither.
    """

    partition: str
    checks: tuple[Check, ...]
    verdict: Verdict

    @model_validator(mode="after")
    def _says_what_its_checks_say(self) -> Self:
        refuse_contradiction("The window", self.verdict, self.checks)
        return self


def ends_trial(checks: Sequence[Check]) -> bool:
    """Tell whether the checks of a decision are those that ended a challenger's trial."""
    return any(check.name == WINDOWS for check in checks)


class ChallengeReport(Fact):
    """How a challenger does beside the champion, and the move that followed.

    :param challenger: the challenger's version; None if there is no challenger.
    :param checks: ``shadow.agreement``, ``shadow.divergence`` and ``shadow.quality`` of the newest window in which each is
        not INCONCLUSIVE, the same checks of the other windows as slices, and ``shadow.windows``, the count of clean
        windows, if the policy asks for clean windows.
    :param moved: the decision that made the challenger champion or dropped it; None if it stays challenger.
    """

    model: str
    partition: str
    challenger: str | None = None
    checks: tuple[Check, ...] = ()
    moved: PromotionDecision | None = None
    reason: str
