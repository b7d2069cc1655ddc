"""Checks: what was expected, what was seen, and what follows; and the records that facts are made of."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _finite(value: Any) -> Any:
    # JSON has no NaN or infinity, and such a measure is no evidence.
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


Number = Annotated[float | None, BeforeValidator(_finite)]


class Fact(BaseModel):
    """A record that survives JSON: XCom, asset events, tables, MLflow tags and pages all carry its dict."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild the record from :meth:`to_dict`."""
        return cls.model_validate(values)


class Verdict(StrEnum):
    """What a check decides. INCONCLUSIVE never promotes a candidate and never starts a retraining by itself."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


class Severity(StrEnum):
    """What a broken expectation does: tell, set rows aside, or stop the partition."""

    WARN = "warn"
    QUARANTINE = "quarantine"
    BLOCK = "block"


class Outcome(StrEnum):
    """How the evaluation of an expectation ended. ERROR (it could not be evaluated) is never FAIL."""

    PASS = "PASS"
    FAIL = "FAIL"
    ERROR = "ERROR"


class Check(Fact):
    """One gate, rule or measure: what was expected, what was seen, and what follows.

    :param name: stable name, e.g. ``floor.roc_auc`` or ``drift.temperature``.
    :param expected: the condition in words, e.g. ``>= 0.60``.
    :param observed: the measured value; None if it could not be measured.
    :param baseline: what ``observed`` was compared with, e.g. the champion's value; None if with nothing.
    :param interval: confidence interval of ``observed`` or of its difference to ``baseline``; None if not estimated.
    :param n: number of rows that the measure is computed from; None if it is not about rows.
    :param slice: the part of the data that the check is about; None means all of it.
    :param reason: one sentence a person can act on.
    """

    name: str
    verdict: Verdict
    expected: str
    observed: Number = None
    baseline: Number = None
    interval: tuple[float, float] | None = None
    n: int | None = None
    slice: str | None = None
    reason: str


def overall(checks: Iterable[Check]) -> Verdict:
    """Return FAIL if any check failed, else INCONCLUSIVE if any was or there are none, else PASS."""
    verdicts = {check.verdict for check in checks}
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE if Verdict.INCONCLUSIVE in verdicts or not verdicts else Verdict.PASS


def refuse_contradiction(fact: str, verdict: Verdict, checks: Iterable[Check]) -> None:
    """Refuse a fact that says something else than its checks.

    :param fact: its name, for the message.
    :raises ValueError: naming both.
    """
    follows = overall(checks := tuple(checks))
    if verdict is not follows:
        said = ", ".join(f"{check.name} {check.verdict}" for check in checks) or "no check"
        raise ValueError(f"{fact} says {verdict}, but {follows} follows from its checks: {said}")
