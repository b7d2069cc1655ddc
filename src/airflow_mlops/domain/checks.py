"""Checks: what was expected, what was seen, and what follows; and the records that facts are made of."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

# Text that no JSON, or no database behind Airflow, can hold: halves of a character, and the character zero.
_UNWRITABLE = "[\0\ud800-\udfff]"


def _finite(value: Any) -> Any:
    # JSON has no NaN or infinity, and such a measure is no evidence.
    try:
        return value if not isinstance(value, int | float) or math.isfinite(value) else None
    except OverflowError:  # a whole number beyond all fractions
        return None


def _bounded(value: Any) -> Any:
    # A bound that is nowhere says nothing; JSON has null for it.
    if isinstance(value, list | tuple) and any(end is None or _finite(end) is None for end in value):
        return None
    return value


def _all_bounded(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: interval for name, interval in value.items() if _bounded(interval) is not None}


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A measure; one that is not finite, or none at all, is None."""
Interval = Annotated[tuple[float, float] | None, BeforeValidator(_bounded)]
"""A confidence interval; one without an end is None, like one that was not estimated."""
Intervals = Annotated[dict[str, tuple[float, float]], BeforeValidator(_all_bounded)]
"""The confidence interval of each measure that has one with two ends."""


def _writable(value: Any) -> Any:
    """Return a value with texts that can be written to JSON and read back: what cannot is spelt out."""
    kind = type(value)
    if kind is str:
        return value if value.isascii() and "\0" not in value else re.sub(_UNWRITABLE, _spelt, value)
    if kind is dict:
        return {_writable(name): _writable(item) for name, item in value.items()}
    return kind(map(_writable, value)) if kind in (list, tuple) else value


def _spelt(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]


class Fact(BaseModel):
    """A record that survives JSON: XCom, asset events, tables, MLflow tags and pages all carry its dict.

    Text is kept but for characters that JSON, or PostgreSQL's, does not have, which are spelt out as ``\\ud800``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _survives(cls, values: Any) -> Any:
        return _writable(values)

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
    :param interval: confidence interval of ``observed`` or of its difference to ``baseline``; None if not estimated, or
        without an end.
    :param n: number of rows that the measure is computed from; None if it is not about rows.
    :param slice: the part of the data that the check is about; None means all of it.
    :param reason: one sentence a person can act on.
    """

    name: str
    verdict: Verdict
    expected: str
    observed: Number = None
    baseline: Number = None
    interval: Interval = None
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
