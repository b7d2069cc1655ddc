"""The metrics that models are ranked, gated and watched by."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from types import MappingProxyType
from typing import Any, NamedTuple


class Task(StrEnum):
    """What a model predicts: a class or a number."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


PROPER = {Task.CLASSIFICATION: "log_loss", Task.REGRESSION: "rmse"}
"""The score of each task that a model cannot win by anything but the truth; that of a number is squared."""


class Family(NamedTuple):
    """Metrics whose names differ by a number.

    :param form: how their names are written, with a capital in place of the number.
    :param pattern: regular expression of their names, whose group is the number; each number has one spelling.
    :param high: largest value; the smallest is 0.
    """

    form: str
    pattern: str
    task: Task
    greater_is_better: bool
    high: float

    def named(self, number: str) -> str:
        """Return the name with a number in it."""
        return re.sub("[A-Z]", number, self.form)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, named as people write it in a spec.

    :param name: stable name.
    :param task: the task it judges.
    :param greater_is_better: False for losses and errors.
    :param low: smallest value it can take.
    :param high: largest value it can take.
    :param standard: True if it is always measured; False if only where a spec names it.
    :param family: what it shares with others whose names differ by a number; None if its name holds none.
    :param number: that number: how many classes, the quantile in percent, or beta.
    :param function: what computes it, as ``module:function``, if it is one's own; "" for ours.
    :param needs: ``probabilities`` or ``labels``: what that function gets of a classifier.
    :param call: that function; None where it is only named.
    """

    name: str
    task: Task
    greater_is_better: bool
    low: float
    high: float
    standard: bool = False
    family: Family | None = None
    number: float = 0
    function: str = ""
    needs: str = "probabilities"
    call: Callable[..., Any] | None = None


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", Task.CLASSIFICATION, True, 0, 1, True),
        Metric("average_precision", Task.CLASSIFICATION, True, 0, 1, True),
        Metric("log_loss", Task.CLASSIFICATION, False, 0, inf, True),
        Metric("brier", Task.CLASSIFICATION, False, 0, 1, True),
        Metric("accuracy", Task.CLASSIFICATION, True, 0, 1, True),
        Metric("f1", Task.CLASSIFICATION, True, 0, 1, True),
        Metric("f1_weighted", Task.CLASSIFICATION, True, 0, 1),
        Metric("precision", Task.CLASSIFICATION, True, 0, 1),
        Metric("recall", Task.CLASSIFICATION, True, 0, 1),
        Metric("balanced_accuracy", Task.CLASSIFICATION, True, 0, 1),
        Metric("matthews", Task.CLASSIFICATION, True, -1, 1),
        Metric("quadratic_kappa", Task.CLASSIFICATION, True, -1, 1),
        Metric("expected_cost", Task.CLASSIFICATION, False, 0, inf),
        Metric("rmse", Task.REGRESSION, False, 0, inf, True),
        Metric("mae", Task.REGRESSION, False, 0, inf, True),
        Metric("r2", Task.REGRESSION, True, -inf, 1, True),
        Metric("mape", Task.REGRESSION, False, 0, inf),
        Metric("median_absolute_error", Task.REGRESSION, False, 0, inf),
        Metric("poisson_deviance", Task.REGRESSION, False, 0, inf),
        Metric("gamma_deviance", Task.REGRESSION, False, 0, inf),
    )
}
"""Every metric whose name holds no number, by name."""


TOP = Family("top_K_accuracy", r"top_([1-9]\d{0,3})_accuracy", Task.CLASSIFICATION, True, 1)
"""Share of rows whose class is among the K most probable."""
F_BETA = Family("fB", r"f((?:[1-9]\d{0,2}|0(?=\.))(?:\.\d{0,2}[1-9])?)", Task.CLASSIFICATION, True, 1)
"""F measure in which recall counts B times as much as precision."""
# From 1 %: who writes pinball_0.9 means a share.
PINBALL = Family("pinball_Q", r"pinball_([1-9]\d?(?:\.\d{0,2}[1-9])?)", Task.REGRESSION, False, inf)
"""Pinball loss of a quantile of Q percent."""
FAMILIES = (TOP, F_BETA, PINBALL)
"""Every metric whose name holds a number."""


COVERAGE, WIDTH = "interval_coverage", "interval_width"
"""Measures of bounds, beside the metrics: the share of true values between them, and their mean distance."""

_OWN: ContextVar[Mapping[str, Metric]] = ContextVar("own metrics", default=MappingProxyType({}))


@contextmanager
def known(own: Iterable[Metric]) -> Iterator[None]:
    """Make metrics of one's own known by their names, in place of others that were, for a while and in this thread."""
    token = _OWN.set({metric.name: metric for metric in own})
    try:
        yield
    finally:
        _OWN.reset(token)


def find(name: str) -> Metric | None:
    """Return the metric that has a name, one of ours or one that is :func:`known`; None if there is none."""
    return standing(name) or _OWN.get().get(name)


def standing(name: str) -> Metric | None:
    """Return the metric of ours that has a name; None if there is none."""
    if metric := METRICS.get(name):
        return metric
    for family in FAMILIES:
        if match := re.fullmatch(family.pattern, name, re.ASCII):
            return Metric(
                name, family.task, family.greater_is_better, 0, family.high, False, family, float(match[1])
            )
    return None


def metric_of(name: str) -> Metric:
    """Return the metric that has a name.

    :raises KeyError: if there is none.
    """
    metric = find(name)
    if metric is None:
        raise KeyError(name)
    return metric


def nearest(word: str) -> list[str]:
    """Return the names that people may mean by a word: all without a number, and those with the numbers of the word."""
    numbers = re.findall(r"\d+(?:\.\d+)?", word[:100])
    # A quantile may have been written as a share.
    numbers += [f"{100 * float(number):.4g}" for number in numbers if "." in number]
    written = [family.named(number) for family in FAMILIES for number in numbers]
    return [*METRICS, *_OWN.get(), *(name for name in written if find(name))]


_OF_ONE_CLASS = ("average_precision", "f1", "precision", "recall")


def of_one_class(name: str) -> bool:
    """Tell whether a metric is of the second class where there are two, and a mean over classes where there are more."""
    metric = find(name)
    return name in _OF_ONE_CLASS or (metric is not None and metric.family == F_BETA)


def forms(task: Task | str) -> tuple[str, ...]:
    """Return how the metrics of a task are written, the default one first: names, and the forms of those with a number."""
    own = (metric.name for metric in _OWN.get().values() if metric.task == task)
    return (*names(task), *(family.form for family in FAMILIES if family.task == task), *own)


OF_DECISIONS = (
    "accuracy",
    "f1",
    "f1_weighted",
    "precision",
    "recall",
    "balanced_accuracy",
    "matthews",
    "quadratic_kappa",
    "expected_cost",
)
"""Metrics of the classes that rows are put in, beside the F measures."""


def of_decisions(name: str) -> bool:
    """Tell whether a metric is of the classes that rows are put in; others are of probabilities, which no threshold changes."""
    metric = find(name)
    return name in OF_DECISIONS or (
        metric is not None and (metric.family == F_BETA or metric.needs == "labels")
    )


def names(task: Task | str) -> tuple[str, ...]:
    """Return the names of a task's metrics that hold no number, the default one first."""
    return tuple(metric.name for metric in METRICS.values() if metric.task == task)


def measured(task: Task | str, more: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of the metrics that are measured: the standard ones of a task, and those that a spec names.

    :param more: names of metrics, in any order; those of another task are left out.
    """
    standard = [name for name in names(task) if METRICS[name].standard]
    return tuple(dict.fromkeys([*standard, *(name for name in more if metric_of(name).task == task)]))
