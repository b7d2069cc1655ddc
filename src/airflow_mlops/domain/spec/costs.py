"""What mistakes cost: two numbers for two classes, and of more a cost for each pair of a true class and the one that is chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SerializeAsAny,
    ValidationError,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from airflow_mlops.domain.classes import BINARY, class_name
from airflow_mlops.domain.spec.fields import Number
from airflow_mlops.domain.spec.loading import Place, describe
from airflow_mlops.domain.spec.problems import Problems, explain, one_of
from airflow_mlops.domain.spec.section import Section

HIGHEST = 1e12
"""Highest cost."""
_DEFAULT = "default"


class Costs(Section):
    """What the two mistakes of a classifier cost, in any unit; a right decision costs nothing."""

    false_positive: Annotated[Number, Field(gt=0, le=HIGHEST)] = Field(
        description="Cost of a row that is called positive and is not, such as a false alarm."
    )
    false_negative: Annotated[Number, Field(gt=0, le=HIGHEST)] = Field(
        description="Cost of a positive row that is not called so, such as a missed fraud."
    )

    @property
    def threshold(self) -> float:
        """The threshold of least cost for probabilities that are right: Elkan, The Foundations of Cost-Sensitive Learning (2001)."""
        return self.false_positive / (self.false_positive + self.false_negative)

    @property
    def turned(self) -> Costs:
        """The same costs if the other class is the positive one."""
        return Costs(false_positive=self.false_negative, false_negative=self.false_positive)


class CostMatrix(BaseModel):
    """What mistakes cost among more than two classes in an order.

    :param rows: for each true class what it costs to choose each class; None where nothing says it.
    :param other: what it costs to choose a class for a row that is of none of them; None if nothing says it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: tuple[tuple[float | None, ...], ...]
    other: float | None = None

    @property
    def whole(self) -> bool:
        """Whether the cost of each mistake is there."""
        return all(cost is not None for row in self.rows for cost in row)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return self.model_dump(mode="json")


class ClassCosts(Section):
    """What mistakes cost among more than two classes; in YAML ``{true class: {chosen class: cost}, default: cost}``.

    :param pairs: cost of each pair of a true class and another one that is chosen, by name.
    :param default: cost of all other mistakes; None if each is named.
    """

    pairs: dict[str, dict[str, float]]
    default: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every class that is named."""
        return tuple(dict.fromkeys([*self.pairs, *(name for row in self.pairs.values() for name in row)]))

    def among(self, classes: Sequence[str]) -> CostMatrix:
        """Return the costs among classes in an order."""
        rows = tuple(
            tuple(
                0.0 if true == chosen else self.pairs.get(true, {}).get(chosen, self.default)
                for chosen in classes
            )
            for true in classes
        )
        return CostMatrix(rows=rows, other=self.default)

    def problems(self, classes: Sequence[str]) -> Iterator[tuple[Place, str]]:
        """Yield what is wrong with the costs of a model of some classes, with its place below ``costs``."""
        if len(classes) == len(BINARY):
            yield (
                (),
                f"names classes, and there are two, {' and '.join(classes)}: write costs: {{false_positive: …, false_negative: …}}",
            )
            return
        for name in self.names:
            if name not in classes:
                place = (
                    (name,)
                    if name in self.pairs
                    else (next(true for true in self.pairs if name in self.pairs[true]), name)
                )
                yield place, f"is no class{one_of(name, classes)}"
        for true, row in zip(classes, self.among(classes).rows, strict=True):
            if missing := [name for name, cost in zip(classes, row, strict=True) if cost is None]:
                pair = f"{true}: {{{missing[0]}: …}}"
                yield (
                    (true,),
                    f"says no cost of {missing[0]!r} in its place: add {pair}, or default: … for all that are not named",
                )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if isinstance(of := value.get("pairs"), dict) and all(isinstance(row, dict) for row in of.values()):
            value = {**of, **({_DEFAULT: value[_DEFAULT]} if value.get(_DEFAULT) is not None else {})}
        return _Reading(value).fields()

    @model_validator(mode="after")
    def _each_pair(self) -> ClassCosts:
        if self.default is None:
            # Without `classes` those that are named are the ones there are.
            Problems.raise_any(self.problems(self.names))
        return self

    @model_serializer
    def _write(self) -> dict[str, Any]:
        return {**self.pairs, **({} if self.default is None else {_DEFAULT: self.default})}


class _Reading:
    """Reads costs as they are written, by the names of classes."""

    def __init__(self, value: dict[Any, Any]) -> None:
        self.value = value
        self.complaints: list[tuple[Place, str]] = []

    def fields(self) -> dict[str, Any]:
        default: Any = self.value.get(_DEFAULT)
        is_default = _DEFAULT in self.value and not isinstance(default, dict)
        if is_default and (why := _no_cost(default)):
            self.complaints.append(((_DEFAULT,), why))
        pairs: dict[str, dict[str, float]] = {}
        for label, row in self.value.items():
            if is_default and label == _DEFAULT:
                continue
            name = self._name((str(label),), label, pairs)
            if not isinstance(row, dict):
                why = f"must be the cost of each class that can be chosen in its place, such as {{minor: 5}}, not {describe(row)}"
                self.complaints.append(((str(label),), why))
            elif name is not None:
                pairs[name] = self._row(name, row)
        Problems.raise_any(self.complaints)
        return {"pairs": pairs, "default": float(default) if is_default else None}

    def _row(self, true: str, row: dict[Any, Any]) -> dict[str, float]:
        costs: dict[str, float] = {}
        for label, cost in row.items():
            place = (true, str(label))
            name = self._name(place, label, costs)
            if why := _no_cost(cost):
                self.complaints.append((place, why))
            elif name == true:
                if cost:
                    self.complaints.append(
                        (place, "is right, and a right decision costs nothing: leave it out")
                    )
            elif name is not None:
                costs[name] = float(cost)
        return costs

    def _name(self, place: Place, label: Any, others: dict[str, Any]) -> str | None:
        if not isinstance(label, str | int) or label == "":
            self.complaints.append((place, f"must be a class, not {describe(label)}"))
            return None
        if class_name(label) in others:
            self.complaints.append((place, "is the same class as another one: a class is known by its text"))
            return None
        return class_name(label)


def _no_cost(value: Any) -> str:
    if type(value) in (int, float) and isfinite(value) and 0 <= value <= HIGHEST:
        return ""
    return f"must be a number from 0 to {HIGHEST:g}, not {describe(value)}"


def _costs(value: Any) -> Any:
    if isinstance(value, Costs | ClassCosts):
        return value
    of_classes = isinstance(value, dict) and (
        _DEFAULT in value or any(isinstance(part, dict) for part in value.values())
    )
    kind: type[Section] = ClassCosts if of_classes else Costs
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise Problems((problem.place, problem.text) for problem in explain(kind, value, error)) from None


_COST = {"type": "number", "minimum": 0, "maximum": HIGHEST}
AnyCosts = Annotated[
    SerializeAsAny[Costs | ClassCosts],
    PlainValidator(_costs),
    WithJsonSchema(
        {
            "anyOf": [
                Costs.model_json_schema(),
                {
                    "type": "object",
                    "minProperties": 1,
                    "properties": {
                        _DEFAULT: {"anyOf": [_COST, {"type": "object", "additionalProperties": _COST}]}
                    },
                    "additionalProperties": {"type": "object", "additionalProperties": _COST},
                },
            ]
        }
    ),
]
"""Costs of two classes, or by the names of more."""
