"""What the guard of a champion has found."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from airflow_mlops.domain.checks import Check, Fact, Verdict
from airflow_mlops.domain.facts.results import PromotionDecision


class GuardReport(Fact):
    """Whether the champion alias is on the right version, and whether a new champion proves itself.

    :param alias: PASS if the alias is where the ledger has put it.
    :param probation: FAIL if a new champion is worse than the one before on rows whose labels have matured since.
    :param restored: the decision that followed, to put the alias back or to roll back; None if nothing followed.
    """

    model: str
    partition: str
    alias: Check
    probation: Check
    restored: PromotionDecision | None = None
    reason: str

    @model_validator(mode="after")
    def _moves_for_a_reason(self) -> Self:
        if self.restored is not None and Verdict.FAIL not in (self.alias.verdict, self.probation.verdict):
            raise ValueError(
                f"The guard says that the champion was {self.restored.action}, but no check of it failed: alias "
                f"{self.alias.verdict}, probation {self.probation.verdict}"
            )
        return self
