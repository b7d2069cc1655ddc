"""Keys of a training that choose its rows and say how much each counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import PlainValidator, WithJsonSchema

from airflow_mlops.domain.classes import class_name
from airflow_mlops.domain.predictions import PREDICTION_COLUMNS
from airflow_mlops.domain.spec.fields import MOST_PARTITIONS, too_many
from airflow_mlops.domain.spec.gates import CLOSED_FORMS, VersusChampion
from airflow_mlops.domain.spec.loading import Place, describe
from airflow_mlops.domain.spec.problems import Problems, one_of

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.candidates import Candidate


def _holdout(value: Any) -> Any:
    if type(value) is int and value > MOST_PARTITIONS:
        raise ValueError(too_many(value))
    if (type(value) is int and value >= 1) or (type(value) is float and 0 < value <= 0.5):
        return value
    raise ValueError(
        "must be a number of partitions (1, 2, …) or a share of the latest rows above 0 and up to 0.5, "
        f"not {describe(value)}"
    )


Holdout = Annotated[
    int | float,
    PlainValidator(_holdout),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MOST_PARTITIONS},
                {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
            ]
        }
    ),
]
"""How much of the latest data is kept to judge on."""


def _class_weight(value: Any) -> Any:
    if value is None or value == "balanced":
        return value
    if not isinstance(value, dict) or not value:
        raise ValueError(
            f"must be balanced, or a weight for each class such as {{late: 5, early: 1}}, not {describe(value)}"
        )
    weights: dict[str, float] = {}
    complaints: list[tuple[Place, str]] = []
    for label, weight in value.items():
        place = (str(label),)
        if not isinstance(label, str | int) or label == "":
            complaints.append((place, f"must be a class, not {describe(label)}"))
        elif class_name(label) in weights:
            complaints.append((place, "is the same class as another one: a class is known by its text"))
        elif type(weight) not in (int, float) or not (isfinite(weight) and weight > 0):
            complaints.append((place, f"must be a finite number above 0, not {describe(weight)}"))
        else:
            weights[class_name(label)] = float(weight)
    Problems.raise_any(complaints)
    return weights


ClassWeight = Annotated[
    Literal["balanced"] | dict[str, float] | None,
    PlainValidator(_class_weight),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "balanced"},
                {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": {"type": "number", "exclusiveMinimum": 0},
                },
                {"type": "null"},
            ]
        }
    ),
]
"""Weights of classes in a fit, by the name of the class."""


class RowSettings(Protocol):
    """The keys of a training that are about its rows."""

    @property
    def weights(self) -> str | None: ...

    @property
    def groups(self) -> str | None: ...

    @property
    def class_weight(self) -> Literal["balanced"] | dict[str, float] | None: ...


def problems(train: RowSettings, others: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong with the columns of weights and groups, and with the classes that are weighted.

    :param others: the fields of a spec that are valid so far, by name.
    """
    roles = dict.fromkeys(others.get("key", ()), "in the key")
    roles |= {others.get("target"): "the target", others.get("event_time"): "the event time"}
    for name, column in (("weights", train.weights), ("groups", train.groups)):
        # A part of the key may be a customer, or a patient.
        if column is not None and column in roles and (name, roles[column]) != ("groups", "in the key"):
            yield (name,), f"{column!r} is {roles[column]}"
    if train.weights in getattr(others.get("features"), "names", ()):
        yield ("weights",), f"{train.weights!r} is a feature too; it can only be one of the two"
    if train.weights in PREDICTION_COLUMNS:
        yield ("weights",), f"{train.weights!r} is a column of the predictions table; rename it in the source"
    if train.weights is not None and train.weights == train.groups:
        yield ("groups",), f"{train.groups!r} is the column of weights"
    classes = [class_name(label) for label in others.get("classes", ())]
    if isinstance(train.class_weight, dict) and classes:
        for name in train.class_weight:
            if name not in classes:
                yield ("class_weight", name), f"is no class{one_of(name, classes)}"


_BY_CLASS = (
    "class_weight cannot name classes here: estimators see them as the numbers 0, 1, …, and keys in a spec are text. Write it "
    "as train.class_weight, with the names that the data has"
)


def classes_by_name(candidates: Sequence[Candidate]) -> Iterator[tuple[Place, str]]:
    """Yield which candidates weigh classes by name as a parameter of their estimator, which sees other names than the data's."""
    for position, candidate in enumerate(candidates):
        # A function may take what it likes.
        parts = [part for part in candidate.parts() if ":" not in part.estimator]
        tried = [[part.params.get("class_weight")] for part in parts]
        tried += [values for part in parts if isinstance(values := part.search.get("class_weight"), list)]
        if any(isinstance(choice, dict) for choices in tried for choice in choices):
            yield ("candidates", position), _BY_CLASS


def closed_forms(train: RowSettings | None, gate: VersusChampion | None) -> Iterator[tuple[Place, str]]:
    """Yield why a closed form cannot compare models whose rows have weights or groups."""
    for name, why in (("weights", "knows no weights"), ("groups", "takes rows for independent")):
        if gate is not None and gate.test in CLOSED_FORMS and getattr(train, name, None) is not None:
            yield ("versus_champion", "test"), f"{gate.test} {why}, and there are train.{name}; use bootstrap"
