"""What a search tries for a parameter: a list of values, or a range of numbers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from airflow_mlops.domain.spec.fields import Json
from airflow_mlops.domain.spec.loading import describe
from airflow_mlops.domain.spec.section import Section


class Range(Section):
    """Numbers to try for a parameter, both ends included; whole numbers if both ends are."""

    low: int | float = Field(description="Least value.")
    high: int | float = Field(description="Greatest value.")
    log: bool = Field(default=False, description="Try orders of magnitude alike, from above 0.")

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low, {self.low}, must be below high, {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 with log, not {self.low}")
        return self


def _space(value: Any) -> Any:
    if isinstance(value, Range):
        return value
    if isinstance(value, dict):
        return Range.model_validate(value)
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("must not be empty")
        return list(value)
    raise ValueError(
        f"must be a list of values, or a range such as {{low: 0.01, high: 1, log: true}}, not {describe(value)}"
    )


Space = Annotated[
    list[Json] | Range,
    BeforeValidator(_space),
    WithJsonSchema({"anyOf": [{"type": "array", "minItems": 1}, Range.model_json_schema()]}),
]
