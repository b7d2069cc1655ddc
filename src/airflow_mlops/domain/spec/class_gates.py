"""The section of a spec about what each class of a classifier must reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from airflow_mlops.domain.classes import class_name
from airflow_mlops.domain.spec.fields import Confidence, Count, Number
from airflow_mlops.domain.spec.loading import Place
from airflow_mlops.domain.spec.problems import one_of
from airflow_mlops.domain.spec.section import Section

MEASURES = ("recall", "precision", "f1")
"""Measures of one class against the rest."""

Measure = Literal["recall", "precision", "f1"]
"""Name of one of :data:`MEASURES`."""
ShareOfRows = Annotated[Number, Field(ge=0, le=1)]
"""A value of such a measure."""


def _by_text(name: Any) -> Any:
    """Return the text that a class is known by, which YAML may hold as a number or a truth value."""
    return class_name(name) if isinstance(name, int) else name


class ClassGates(Section):
    """What each class must reach; in YAML also its `floor` alone."""

    floor: dict[Measure, ShareOfRows] = Field(
        default={}, description=f"Worst value allowed of each class, by measure ({', '.join(MEASURES)})."
    )
    named: dict[str, dict[Measure, ShareOfRows]] = Field(
        default={}, description="Floors of single classes, in place of those of all."
    )
    loss: dict[Measure, ShareOfRows] = Field(
        default={},
        description="Largest loss of each class against the champion on the same rows, by measure; a class fails if it is "
        "shown to have lost more.",
    )
    min_rows: Count = Field(
        default=30,
        description="Rows of a class below which nothing is said of it: the gate is inconclusive.",
    )
    confidence: Confidence = Field(
        default=0.95,
        description="Confidence at which a class counts as shown to be below its floor, or worse, corrected for the number of "
        "classes and measures.",
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if isinstance(value, dict) and value and set(value) <= set(MEASURES):
            return {"floor": value}
        named = value.get("named") if isinstance(value, dict) else None
        if isinstance(named, dict) and len({_by_text(name) for name in named}) == len(named):
            return {**value, "named": {_by_text(name): floors for name, floors in named.items()}}
        return value

    @model_validator(mode="after")
    def _says_something(self) -> ClassGates:
        if not (self.floor or self.loss or any(self.named.values())):
            raise ValueError(
                "asks nothing of any class: write a floor, such as floor: {recall: 0.5}, or a loss"
            )
        return self

    def problems(self, classes: Sequence[str | int]) -> list[tuple[Place, str]]:
        """Return complaints about names that are none of the classes that a spec names."""
        names = [class_name(name) for name in classes]
        return [
            (("named", name), f"is no class{one_of(name, names)}")
            for name in self.named
            if names and name not in names
        ]

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [schema["properties"]["floor"], schema], "description": cls.__doc__}
