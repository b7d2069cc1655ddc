"""The base class of a spec and its sections, which are built in Python or from YAML; one error lists all problems."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from airflow_mlops.domain.spec.loading import Document, describe
from airflow_mlops.domain.spec.problems import spec_error


class Section(BaseModel):
    """A frozen part of a spec.

    :raises SpecError: listing everything that is wrong.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise spec_error(type(self), type(self).__name__, Document(values), error) from None

    # As pydantic's own RootModel does: sections within a section are validated together, not through `__init__`.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return a section from its values in YAML, or from :meth:`to_dict`.

        :raises SpecError: listing everything that is wrong.
        """
        try:
            return cls.model_validate(values, by_alias=True, by_name=False)
        except ValidationError as error:
            raise spec_error(cls, cls.__name__, Document(values), error) from None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, in the form that YAML has."""
        return self.model_dump(mode="json", by_alias=True)


def short_form(value: Any, name: str, own: Iterable[str], rest: str, example: str) -> Any:
    """Return the fields of a section that is written as ``- name: {…}``.

    :param name: field for the name, which is the single key.
    :param own: fields whose keys are among the arguments.
    :param rest: field for the arguments, which are all the other keys.
    :param example: how to write the section, for the error.
    """
    if isinstance(value, str):
        return {name: value}
    if not isinstance(value, dict) or name in value:
        return value
    if len(value) != 1:
        raise ValueError(
            f"holds {len(value)} names; write {example}, with what belongs to it indented below it"
        )
    [(key, body)] = value.items()
    if body is not None and not isinstance(body, dict):
        raise ValueError(f"{key} takes a mapping, not {describe(body)}; write {example}")
    arguments = dict(body or {})
    return {name: key, **{part: arguments.pop(part) for part in own if part in arguments}, rest: arguments}


def short_schema(pattern: str, arguments: dict[str, Any], description: str | None) -> dict[str, Any]:
    """Return the JSON Schema of a section that is written as `- name: {…}`, or as the name alone."""
    record = {
        "type": "object",
        "patternProperties": {pattern: arguments},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"anyOf": [{"type": "string", "pattern": pattern}, record], "description": description}
