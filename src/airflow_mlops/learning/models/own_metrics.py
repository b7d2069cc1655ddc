"""Metrics of one's own: the code that computes them, and the scope in which their names are known."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from airflow_mlops.domain import metrics
from airflow_mlops.domain.spec.own_metrics import OwnMetric
from airflow_mlops.exceptions import MetricFailed
from airflow_mlops.learning.models import code

P = ParamSpec("P")
R = TypeVar("R")

VERSIONS = "mlops.metrics"
"""Tag of runs and versions: the code of metrics of one's own, as ``module:function@digest`` by name; none without any."""


class Holder(Protocol):
    """What says which metrics of one's own there are: a question, a recipe, a trained model."""

    @property
    def task(self) -> str:
        """``classification`` or ``regression``."""

    @property
    def own_metrics(self) -> Mapping[str, OwnMetric]:
        """Metrics of one's own by name."""


@cache
def function(path: str) -> code.Function:
    """Import the function of a metric, once in a process.

    :raises MetricFailed: if it cannot be imported, or its module needs code that lies beside it.
    """
    try:
        return code.find(path)
    except ImportError as error:
        raise MetricFailed(str(error)) from error


def problems(
    own: Mapping[str, OwnMetric], folders: Sequence[Path], *, weighted: bool = False
) -> Iterator[str]:
    """Yield what is wrong with the functions of metrics: that one cannot be imported, or does not take what it is to get.

    :param folders: where modules are looked for besides, such as those that DAG files lie in.
    :param weighted: whether rows have weights, which each function has to take.
    """
    with code.importable(folders):
        for name, metric in own.items():
            if why := _unfit(metric.function, weighted=weighted):
                yield f"train.metrics.{name}.function: {why}"


def _unfit(path: str, *, weighted: bool) -> str:
    """Return why a function cannot compute a metric; "" if it can."""
    try:
        signature = inspect.signature(function(path).call)
    except (MetricFailed, ValueError) as error:
        return str(error)
    weights = {"sample_weight": "weights"} if weighted else {}
    try:
        signature.bind("labels", "predictions", **weights)
    except TypeError as error:
        if weighted and not _takes(signature, "sample_weight"):
            name = path.partition(":")[2]
            return f"{path} gets no weights, and there are train.weights: add a parameter sample_weight to {name}, or leave weights out"
        return f"{path} must take labels and predictions: {error}"
    return ""


def _takes(signature: inspect.Signature, name: str) -> bool:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = signature.parameters
    named = name in parameters and parameters[name].kind in kinds
    return named or any(part.kind is inspect.Parameter.VAR_KEYWORD for part in parameters.values())


def file(name: str) -> str:
    """Return the name, among the artifacts of a logged model, of the code of a metric."""
    return f"metric_{name}.py"


def known(own: Mapping[str, OwnMetric], task: str) -> AbstractContextManager[None]:
    """Make metrics known by their names, with the code that computes them, which is imported when it is called."""
    return metrics.known(_callable(metric.named(name, task)) for name, metric in own.items())


def _callable(metric: metrics.Metric) -> metrics.Metric:
    def call(*arrays: Any, **weights: Any) -> Any:
        called = function(metric.function).call
        if weights and not _takes(inspect.signature(called), *weights):
            name = metric.function.partition(":")[2]
            raise MetricFailed(
                f"{metric.name}: {metric.function} gets no weights, and there are train.weights: add a parameter sample_weight to {name}"
            )
        return called(*arrays, **weights)

    return replace(metric, call=call)


def scoped(holder: Callable[..., Holder]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that the metrics are known in it that one of its arguments names.

    :param holder: takes the arguments of the function, and returns what names the metrics.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            names: Any = holder(*args, **kwargs)
            with known(names.own_metrics, names.task):
                return function(*args, **kwargs)

        return run

    return decorate
