"""What the name of a column tells about it."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches

from airflow_mlops.domain.predictions import PREDICTION_COLUMNS
from airflow_mlops.domain.spec.fields import RESERVED_COLUMNS

_TARGETS = (
    *("target", "label", "labels", "class", "y", "outcome", "churn", "churned", "default", "defaulted", "fraud"),
    *("survived", "response", "species", "diagnosis", "converted", "is_fraud", "late", "delayed", "income"),
    *("quality", "price", "sales", "demand", "amount_due", "result"),
)  # fmt: skip
_TIMES = (
    *("event_time", "event_timestamp", "timestamp", "datetime", "time", "ts", "date", "created_at", "created"),
    *("time_hour", "occurred_at", "event_date", "day", "order_date", "transaction_date", "month"),
)  # fmt: skip
_IDENTIFIES = re.compile(
    r"(^|_)(id|ids|key|uuid|guid|no|nr|number|code|num)$|^(id|uuid|guid|index|row)(_|$)|[a-z]Id$|ID$"
)
_PERSONAL = re.compile(
    r"e?_?mail|phone|mobile|(^|_)(tel|fax|ssn|iban|bic|passport|surname|address|street|ip)(_|$)|"
    r"(first|last|full|middle|maiden|user|customer|person)_?name|birth|(^|_)dob(_|$)|social_?security|credit_?card|"
    r"(card|licen[cs]e|account)_?(no|nr|number)"
)
_POSITIVE = (
    *("yes", "y", "ja", "oui", "true", "t", "1", "positive", "pos", "churn", "churned", "late", "delayed", "fraud"),
    *("default", "defaulted", "bad", "died", "dead", "malignant", "spam", "fail", "failed", "sick", "ill", "left", "lost"),
    *("attack", "anomaly", "success", "won", "converted"),
)  # fmt: skip
_ROW_NUMBERS = re.compile(r"^(unnamed: ?\d+|index|row_?(no|nr|number|id)?|level_0|)$")


def folded(name: str) -> str:
    """Return a name in small letters, with underscores between its words."""
    return re.sub(r"[^a-z0-9]+", "_", apart(name).lower()).strip("_")


def apart(name: str) -> str:
    """Return a name with an underscore where a small letter is before a capital one: ``customerId`` is ``customer_Id``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)


def target_place(name: str) -> int | None:
    """Return how likely a name is one of what is predicted: the least number is the likeliest; None for others."""
    return _TARGETS.index(folded(name)) if folded(name) in _TARGETS else None


def time_place(name: str) -> int | None:
    """Return how likely a name is one of an event time, likewise."""
    word = folded(name)
    if word in _TIMES:
        return _TIMES.index(word)
    # As likely as the day, which is less exact.
    return _TIMES.index("day") if re.search(r"(^|_)(at|time|ts|timestamp)$", word) else None


def identifies(name: str) -> bool:
    """Tell whether a name is one of what identifies something."""
    return bool(_IDENTIFIES.search(name) or _IDENTIFIES.search(folded(name)))


def is_personal(name: str) -> bool:
    """Tell whether a name is one of personal data."""
    return bool(_PERSONAL.search(folded(name)))


def is_row_number(name: str) -> bool:
    """Tell whether a name is one that programs give to the number of a row."""
    return bool(_ROW_NUMBERS.match(name.strip().lower()))


def is_positive(value: str) -> bool:
    """Tell whether a class is the one of two that people look for."""
    return value.strip().lower() in _POSITIVE


def unused(name: str, columns: Collection[str]) -> str:
    """Return a name that is no column yet: the name itself, or with underscores after it."""
    taken = {*columns, *PREDICTION_COLUMNS, *RESERVED_COLUMNS}
    while name in taken:
        name += "_"
    return name


def nearest(name: str, columns: Collection[str]) -> str | None:
    """Return the column whose name is nearest to a word; None if none is near."""
    folds = {folded(column): column for column in columns}
    close = get_close_matches(folded(name), folds, n=1)
    return folds[close[0]] if close else None
