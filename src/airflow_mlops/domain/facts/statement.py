"""Facts with the name of their kind, so that a task can read them without knowing which task has stated them."""

from __future__ import annotations

from typing import Any, Self, TypeVar

from pydantic import Field, field_validator

from airflow_mlops.domain.checks import Fact
from airflow_mlops.domain.facts.drift import DriftReport
from airflow_mlops.domain.facts.guard import GuardReport
from airflow_mlops.domain.facts.labels import LabelsReport
from airflow_mlops.domain.facts.results import DatasetVersion, HealthReport, PromotionDecision
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
        LabelsReport,
        PromotionDecision,
        ValidationReport,
    )
}
"""The kinds of facts that a task can state, by name."""

Kind = TypeVar("Kind", bound=Fact)


class Statement(Fact):
    """A fact with its kind and the files that show it.

    :param kind: name of the fact's class, one of :data:`KINDS`.
    :param fact: the fact's dict, which :meth:`read` checks.
    :param pages: paths under ``[mlops] reports``: ``report`` is the path of a page, ``picture`` that of a PNG.
    """

    kind: str
    fact: dict[str, Any]
    pages: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, fact: Fact, **pages: str) -> Self:
        """State a fact.

        :raises ValueError: if the fact's class is not one of :data:`KINDS`.
        """
        return cls(kind=type(fact).__name__, fact=fact.to_dict(), pages=pages)

    def read(self, kind: type[Kind]) -> Kind | None:
        """Return the fact if it is of the given kind, else None.

        :raises ValueError: if the fact's dict is not valid for its kind.
        """
        return kind.from_dict(self.fact) if KINDS[self.kind] is kind else None

    @field_validator("kind")
    @classmethod
    def _is_readable(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of fact that is read; there are {', '.join(KINDS)}")
        return kind
