"""Every kind of spec: which of them a file holds, and the JSON Schema of them all."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_mlops.domain.spec import loading
from airflow_mlops.domain.spec.dataset import DataSpec
from airflow_mlops.domain.spec.loading import Document, Problem
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.own_metrics import ONLY_OURS
from airflow_mlops.domain.spec.problems import keys

_NEEDED = ("task", "target")
"""Keys that a spec of a model must have, and one of data alone has not."""


def load_spec(path: str | Path) -> DataSpec:
    """Read a YAML file, whose keys say what it is a spec of: data alone, or a model, which is a :class:`ModelSpec`.

    :param path: a relative path is looked for beside the Python file that calls this, then in the current directory.
    :raises SpecError: listing everything that is wrong, each with its line.
    """
    return read(loading.find(path, sys._getframe(1).f_globals.get("__file__")))


def read(file: Path) -> DataSpec:
    """Read a YAML file of any kind of spec.

    :raises SpecError: listing everything that is wrong, each with its line.
    """
    document = loading.read(file)
    kind = kind_of(document.value)
    if kind is ModelSpec:
        document.problems += _incomplete(document)
    return kind.of_document(file, document)


def kind_of(values: Mapping[str, Any]) -> type[DataSpec]:
    """Return what values in the form of YAML are a spec of: of a model, if any key is one that data alone has not."""
    return ModelSpec if _of_models(values) else DataSpec


def _of_models(values: Mapping[str, Any]) -> list[str]:
    only = keys(ModelSpec).keys() - keys(DataSpec).keys()
    return [key for key in values if key in only]


def _incomplete(document: Document) -> list[Problem]:
    """Say which key makes a spec that of a model, if it lacks what every model needs."""
    missing = [key for key in _NEEDED if key not in document.value]
    if not missing:
        return []
    key = _of_models(document.value)[0]
    text = f"makes this the spec of a model, which needs {' and '.join(missing)} too; leave it out for a spec of data alone"
    return [Problem((key,), text, document.line((key,)))]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the YAML form of every kind, for editors."""
    schema = ModelSpec.model_json_schema(by_alias=True, mode="validation")
    schema["description"] = "A dataset or a model for airflow-mlops."
    schema["required"] = [key for key in schema["required"] if key not in _NEEDED]
    schema["dependentRequired"] = {key: [*_NEEDED] for key in _of_models(schema["properties"])}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, **ONLY_OURS}
