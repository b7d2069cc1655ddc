"""What is wrong with the code that a spec names: estimators with their parameters, and functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from airflow_mlops.domain.spec.dataset import DataSpec


def problems(spec: DataSpec, folders: Sequence[Path], *, builds: bool) -> list[str]:
    """Return all that is wrong with the estimators, functions and metrics of a spec.

    :param folders: where modules are looked for besides, such as those that DAG files lie in.
    :param builds: build each estimator, which imports its library; otherwise names are looked up in an index, if that is of
        the installed version.
    """
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.learning.models import candidates, code, own_metrics

    with code.importable(folders):
        functions = list(_of_functions(spec))
    if not isinstance(spec, ModelSpec):
        return functions
    weighted = spec.train.weights is not None
    return [
        *functions,
        *own_metrics.problems(spec.train.metrics, folders, weighted=weighted),
        *candidates.problems(spec, folders, builds=builds),
    ]


def _of_functions(spec: DataSpec) -> Iterator[str]:
    """Yield the functions that cannot be imported, or for which one place of code is not enough."""
    from airflow_mlops.domain.spec.predicted import PredictionSpec
    from airflow_mlops.exceptions import SourceUnreadable
    from airflow_mlops.learning.models import code
    from airflow_mlops.stores.sources import python

    if spec.transform is not None:
        try:
            code.find(spec.transform)
        except ImportError as error:
            yield f"transform: {error}"
    labels = spec.labels.source if isinstance(spec, PredictionSpec) else None
    for place, source in (("source", spec.source), ("labels.source", labels)):
        if source is None or source.python is None:
            continue
        for key in ("function", "arrived"):
            function = getattr(source.python, key)
            try:
                _ = function and python.load(function)
            except SourceUnreadable as error:
                yield f"{place}.python.{key}: {error}"
