"""What is known of a challenger: how far it agrees with the champion, and whether it has done well for long enough."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_mlops.domain.checks import Check, Fact, Number, Verdict
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef, PromotionDecision

WINDOWS = "shadow.windows"
"""Name of the check that counts a challenger's clean windows."""


class ShadowReport(Fact):
    """A challenger beside the champion, on the rows of one partition.

    :param version: the challenger's version.
    :param digest: digest of its content.
    :param uri: the Delta table with what both have predicted.
    :param rows: rows that both have predicted; 0 if the challenger could not.
    :param served: rows whose served prediction is the challenger's.
    :param agreement: share of the rows on which both decide alike, a probability of 0.5 or more being a yes; None for
        regression.
    :param correlation: Pearson's; None if one of them predicts the same for all rows.
    :param difference: mean absolute difference of what they predict.
    :param divergence: root mean square of the difference, in standard deviations of what the champion predicts: 0 is
        the same, above 1 they have nothing to do with each other; None if the champion predicts the same for all rows.
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
    """Predictions of one partition.

    :param rows: rows of predictions; 0 while there is no champion.
    :param written: False if the same predictions were already there.
    :param shadow: a challenger that has predicted the same rows; None if there was none.
    :param outputs: where else the predictions went, in words.
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


class ShadowWindow(Fact):
    """How a challenger did in one partition.

    :param verdict: PASS is a clean window; FAIL starts the count again; INCONCLUSIVE does not count either way.
    """

    partition: str
    checks: tuple[Check, ...]
    verdict: Verdict


def ends_trial(checks: Sequence[Check]) -> bool:
    """Tell whether the checks of a move of the champion are those of a trial that ends with it."""
    return any(check.name == WINDOWS for check in checks)


class ChallengeReport(Fact):
    """How a challenger does beside the champion, and what followed.

    :param challenger: its version; None if there is none.
    :param checks: ``shadow.agreement``, ``shadow.divergence`` and ``shadow.quality`` of the newest window that tells, those
        of older windows as slices, and ``shadow.windows``, the count of clean ones, where the policy asks for some.
    :param moved: the challenger became champion, or was dropped; None if it stays what it is.
    """

    model: str
    partition: str
    challenger: str | None = None
    checks: tuple[Check, ...] = ()
    moved: PromotionDecision | None = None
    reason: str
