"""Every kind of spec: which of them a file holds, and the JSON Schema of them all."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow_mlops.domain.spec import loading
from airflow_mlops.domain.spec.dataset import DataSpec
from airflow_mlops.domain.spec.loading import Document, Problem
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.monitoring import MonitoringSpec
from airflow_mlops.domain.spec.own_metrics import ONLY_OURS
from airflow_mlops.domain.spec.problems import keys

_NEEDED = ("task", "target")
"""Keys that a spec of a model, or of predictions, must have, and one of data alone has not."""
_PREDICTIONS = "predictions"


def load_spec(path: str | Path) -> DataSpec:
    """Read a YAML file, whose keys say what it is a spec of: data alone, predictions of another system, or a model.

    :param path: a relative path is looked for beside the Python file that calls this, then in the current directory.
    :raises SpecError: listing everything that is wrong, each with its line.
    """
    return read(loading.find(path, sys._getframe(1).f_globals.get("__file__")))


def read(file: Path) -> DataSpec:
    """Read a YAML file of any kind of spec.

    :raises SpecError: listing everything that is wrong, each with its line.
    """
    document = loading.read(file)
    document.problems += _between(document)
    return kind_of(document.value).of_document(file, document)


def kind_of(values: Mapping[str, Any]) -> type[DataSpec]:
    """Return what values in the form of YAML are a spec of.

    It is of another system's predictions if they are named, else of a model if any key is one that data alone has not.
    """
    if _PREDICTIONS in values:
        return MonitoringSpec
    return ModelSpec if _only(ModelSpec, DataSpec, values) else DataSpec


def _only(kind: type[DataSpec], other: type[DataSpec], values: Iterable[str]) -> list[str]:
    """Return those keys of values that one kind of spec has, and another has not."""
    only = keys(kind).keys() - keys(other).keys()
    return [key for key in values if key in only]


def _between(document: Document) -> Iterator[Problem]:
    """Say of keys that are between two kinds what makes a spec that of one, and what it lacks."""
    values, kind = document.value, kind_of(document.value)
    missing = [key for key in _NEEDED if key not in values]
    if kind is not DataSpec and missing:
        key = _PREDICTIONS if kind is MonitoringSpec else _only(kind, DataSpec, values)[0]
        whose = "another system's predictions" if kind is MonitoringSpec else "a model"
        text = f"makes this the spec of {whose}, which needs {' and '.join(missing)} too; leave it out for a spec of data alone"
        yield Problem((key,), text, document.line((key,)))
    if kind is MonitoringSpec:
        for key in _only(ModelSpec, MonitoringSpec, values):
            text = "is of a model that is trained here, and predictions are of another system; leave one of the two out"
            yield Problem((key,), text, document.line((key,)))


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the YAML form of every kind, for editors."""
    schema, watched = (
        kind.model_json_schema(by_alias=True, mode="validation") for kind in (ModelSpec, MonitoringSpec)
    )
    schema["description"] = "A dataset, another system's predictions, or a model for airflow-mlops."
    schema["$defs"] |= watched["$defs"]
    schema["properties"][_PREDICTIONS] = watched["properties"][_PREDICTIONS]
    schema["required"] = [key for key in schema["required"] if key not in _NEEDED]
    more = [*_only(ModelSpec, DataSpec, schema["properties"]), _PREDICTIONS]
    schema["dependentRequired"] = {key: [*_NEEDED] for key in more}
    others = _only(ModelSpec, MonitoringSpec, schema["properties"])
    schema["dependentSchemas"] = {_PREDICTIONS: {"properties": dict.fromkeys(others, False)}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, **ONLY_OURS}
