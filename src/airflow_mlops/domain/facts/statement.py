"""Facts: what a task states, in a form that says what it is, so that whoever reads it need not know the task."""

from __future__ import annotations

from typing import Any, Self, TypeVar

from pydantic import Field, field_validator

from airflow_mlops.domain.checks import Fact
from airflow_mlops.domain.facts.drift import DriftReport
from airflow_mlops.domain.facts.results import DatasetVersion, GuardReport, HealthReport, PromotionDecision
from airflow_mlops.domain.facts.scoring import ChallengeReport
from airflow_mlops.domain.facts.validation import ValidationReport

KINDS: dict[str, type[Fact]] = {
    kind.__name__: kind
    for kind in (
        ChallengeReport,
        DatasetVersion,
        DriftReport,
        GuardReport,
        HealthReport,
        PromotionDecision,
        ValidationReport,
    )
}
"""What a task can state, by the name of its kind."""

Kind = TypeVar("Kind", bound=Fact)


class Statement(Fact):
    """A fact with its kind and the files that show it.

    :param kind: name of the fact's class, one of :data:`KINDS`.
    :param fact: the fact's dict; it is checked when it is read.
    :param pages: places under ``[mlops] reports``: ``report`` is that of a page, ``picture`` that of a PNG.
    """

    kind: str
    fact: dict[str, Any]
    pages: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, fact: Fact, **pages: str) -> Self:
        """State a fact.

        :raises ValueError: if nobody knows facts of its kind.
        """
        return cls(kind=type(fact).__name__, fact=fact.to_dict(), pages=pages)

    def read(self, kind: type[Kind]) -> Kind | None:
        """Return the fact, if it is of a kind; None if it is of another.

        :raises ValueError: if it is not what its kind says.
        """
        return kind.from_dict(self.fact) if KINDS[self.kind] is kind else None

    @field_validator("kind")
    @classmethod
    def _is_known(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of fact that is read; there are {', '.join(KINDS)}")
        return kind
