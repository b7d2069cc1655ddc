"""How a model was stored elsewhere: its file, its format and its columns, as MLflow's file ``MLmodel`` says."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

from airflow_mlops.exceptions import ModelRefused

FILE = "MLmodel"
"""File of MLflow that describes a model."""
_FORMATS = ("skops", "pickle", "cloudpickle")
_LOG = 'log it with mlflow.sklearn.log_model(model, name="model", registered_model_name=…)'


class StoredModel(NamedTuple):
    """A model of scikit-learn as it was stored.

    :param file: name of its file.
    :param format: ``skops``, ``pickle`` or ``cloudpickle``.
    :param sklearn: the version of scikit-learn that stored it.
    :param columns: names of the inputs in the signature; none if it has no signature, or one without names.
    """

    file: str
    format: str
    sklearn: str
    columns: tuple[str, ...]


def read(text: str, name: str) -> StoredModel:
    """Read the file ``MLmodel``.

    :param name: the version in a sentence.
    :raises ModelRefused: if it is no model of scikit-learn, or the file cannot be understood.
    """
    import yaml

    try:
        facts = yaml.safe_load(text)
        flavors = dict(facts["flavors"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelRefused(f"{FILE} of {name} cannot be read: {error}") from error
    if "sklearn" not in flavors:
        raise ModelRefused(
            f"{name} is stored as {', '.join(sorted(map(str, flavors))) or 'nothing'}; what can be taken in is a model with the "
            f"interface of scikit-learn, LightGBM's and XGBoost's classes included: {_LOG}."
        )
    flavor = flavors["sklearn"] if isinstance(flavors["sklearn"], dict) else {}
    file, form = str(flavor.get("pickled_model", "")), str(flavor.get("serialization_format", ""))
    if not file or PurePosixPath(file).name != file or form not in _FORMATS:
        raise ModelRefused(
            f"{name} is stored as {form or 'no format'} in {file or 'no file'}, which cannot be read: {_LOG}."
        )
    return StoredModel(file, form, str(flavor.get("sklearn_version", "")), _columns(facts.get("signature")))


def refuse(stored: StoredModel, name: str, trust: Literal["skops", "pickle"]) -> None:
    """Refuse what must not be loaded, or what would not be the same here.

    :param trust: what the spec lets be loaded.
    :raises ModelRefused: if it is a pickle and the spec does not trust it, or if another scikit-learn has stored it.
    """
    import sklearn

    if stored.format != "skops" and trust != "pickle":
        raise ModelRefused(
            f"{name} is stored as {stored.format}, and whoever loads {stored.file} runs whatever code is in it, with all that the "
            "worker's user may read and do. If you trust everybody who can write to it, say so in the spec, train: {trust: pickle}; "
            'or log it again with serialization_format="skops", which runs no code.'
        )
    if stored.sklearn and stored.sklearn != sklearn.__version__:
        raise ModelRefused(
            f"{name} was stored by scikit-learn {stored.sklearn}, and {sklearn.__version__} is installed here, which may predict "
            "otherwise without a word. Train it with the version that is here, or install that one where tasks run."
        )


def _columns(signature: Any) -> tuple[str, ...]:
    try:
        inputs = json.loads(signature["inputs"])
        names = [column.get("name") for column in inputs]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return ()
    return tuple(names) if names and all(isinstance(name, str) for name in names) else ()
