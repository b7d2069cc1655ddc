"""The section of a spec about who is told what."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator

from airflow_mlops.domain.fields import Line, unique
from airflow_mlops.domain.loading import describe
from airflow_mlops.domain.section import Section


def _address(value: str) -> str:
    host = r"(localhost|[\w-]+(\.[\w-]+)+)"
    if len(value) > 254 or not re.fullmatch(rf"[\w.!#$%&'*+/=?^`{{|}}~-]+@{host}", value):
        raise ValueError(f"must be a mail address such as ml-team@example.com, not {describe(value)}")
    return value


Address = Annotated[Line, AfterValidator(_address), WithJsonSchema({"type": "string", "format": "email"})]


class Alerts(Section):
    """Who is told when a run fails for good or a model is in bad health."""

    email: Annotated[tuple[Address, ...], AfterValidator(unique)] = Field(
        default=(), description="Mail addresses."
    )

    @field_validator("email", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError(f"must be a list, not {describe(value)}; write [{value}]")
        return value
