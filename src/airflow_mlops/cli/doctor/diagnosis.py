"""What a check says: what it looked at, what that means, and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from airflow_mlops.reporting.verdicts import appearance

_LONGEST = 700


class Condition(StrEnum):
    """How a check ended. SKIPPED: what it looks at is not in use, or cannot be seen from here."""

    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True)
class Diagnosis:
    """One line of the doctor.

    :param check: name of the check.
    :param observation: what it looked at, and how that is.
    :param meaning: what follows from it for the models; empty if all is well.
    :param fix: what to do; empty if nothing is to be done.
    """

    check: str
    status: Condition
    observation: str
    meaning: str = ""
    fix: str = ""

    def __str__(self) -> str:
        parts = (self.observation, self.meaning, f"Do: {self.fix}" if self.fix else "")
        sentences = " ".join(_sentence(part) for part in parts if part)
        return f"{appearance(self.status)!s:<10}{self.check}: {sentences}"

    def to_dict(self) -> dict[str, str]:
        """Return its fields as JSON values."""
        return {**asdict(self), "status": self.status.value}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Diagnosis:
        """Rebuild a diagnosis."""
        return cls(**{**fields, "status": Condition(fields["status"])})


def passed(check: str, observation: str) -> Diagnosis:
    """Return that all is well."""
    return Diagnosis(check, Condition.PASS, observation)


def warned(check: str, observation: str, meaning: str, fix: str) -> Diagnosis:
    """Return what works, and may not do what people expect of it."""
    return Diagnosis(check, Condition.WARN, observation, meaning, fix)


def failed(check: str, observation: str, meaning: str, fix: str) -> Diagnosis:
    """Return what stops models from being trained, promoted, scored or watched."""
    return Diagnosis(check, Condition.FAIL, observation, meaning, fix)


def skipped(check: str, observation: str) -> Diagnosis:
    """Return why there was nothing to look at."""
    return Diagnosis(check, Condition.SKIPPED, observation)


def unexpected(check: str, error: BaseException) -> Diagnosis:
    """Return an error that the check itself has no words for."""
    return failed(
        check,
        f"The check ended with {type(error).__name__}: {brief(error)}",
        "What it looks at is probably out of order in a way that the doctor does not know",
        "read the message; the same call in a task fails alike",
    )


def brief(error: object) -> str:
    """Return the text of an error in one line."""
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
