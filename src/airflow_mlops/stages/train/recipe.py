"""The recipe of a training: features, split, data and settings."""

from __future__ import annotations

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.spec.model import Features
from airflow_mlops.learning.labels import labels

_NUMERIC = ("int", "uint", "float", "double", "halffloat", "decimal", "bool")
_TEXT = ("string", "large_string", "dictionary")
_TIMES = ("timestamp", "date")


def derive_features(dataset: DatasetVersion, target: str) -> Features:
    """Return every column but key, event time and what labels bring: numbers and truths, text as categories, and times.

    Columns of other types are left out.

    :raises SpecError: if no column is left.
    """
    others = {*dataset.key, dataset.event_time, target, *((labels.LABELLED_AT,) if dataset.labels else ())}
    left = {name: kind for name, kind in dataset.columns.items() if name not in others}
    return Features(
        numeric=tuple(name for name, kind in left.items() if kind.startswith(_NUMERIC)),
        categorical=tuple(name for name, kind in left.items() if kind.startswith(_TEXT)),
        dates=tuple(name for name, kind in left.items() if kind.startswith(_TIMES)),
    )
