"""Evidence against a champion that adds up over partitions, as far as it has come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from airflow_mlops.domain.checks import Check, Fact

EVIDENCE = "evidence"
"""Name of the check that holds the evidence, in ``observed``, and in ``n`` the number of looks that it is of."""
AGAIN = "again"
"""Name of the check that stands in the evaluation of a candidate that was judged before: no training has led to it."""


class EvidenceSoFar(Fact):
    """What earlier decisions have gathered for candidates against the present champion.

    :param value: what bets of a capital of 1 have made of it; large if the candidates were better.
    :param looks: number of partitions at which it has changed.
    :param until: rows of an event time before count in it already.
    """

    value: float
    looks: int
    until: datetime


def judged_again(checks: Sequence[Check]) -> bool:
    """Tell whether the checks of a decision are those of a candidate that was judged before, and not trained anew."""
    return any(check.name == AGAIN for check in checks)
