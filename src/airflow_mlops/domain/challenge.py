"""What became of a challenger at one partition."""

from __future__ import annotations

from airflow_mlops.domain.checks import Check, Fact
from airflow_mlops.domain.results import PromotionDecision


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
