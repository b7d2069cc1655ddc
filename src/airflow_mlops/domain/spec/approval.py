"""The section of a spec about people who have the last word on a candidate."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_serializer, model_validator

from airflow_mlops.domain.spec.fields import Duration, Line, iso, unique
from airflow_mlops.domain.spec.section import Section


class Approval(Section):
    """Whether people have the last word, and who; in YAML also `none`, `one` or `two`."""

    people: Literal["none", "one", "two"] = Field(
        default="none",
        description="`none`: passing the gates is enough; `one`: a person also has to approve; `two`: two different ones.",
    )
    users: Annotated[tuple[Line, ...], AfterValidator(unique)] = Field(
        default=(),
        description="Ids of the Airflow users who may answer, with the simple auth manager their names; without any, "
        "everyone who may edit the run.",
    )
    timeout: Duration = Field(
        default=timedelta(days=7),
        description="ISO 8601 duration to wait; then the run fails, and the champion stays.",
    )
    override: bool = Field(
        default=False,
        description="People are also asked about a candidate that did not pass its gates, and may let it through; the "
        "ledger says so.",
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return {"people": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _enough_people(self) -> Approval:
        if self.people == "two" and len(self.users) == 1:
            raise ValueError(f"two people cannot both be {self.users[0]!r}; name another user, or none")
        if self.people == "none" and (self.users or self.override):
            raise ValueError("asks nobody, so users and override have no effect; write people: one, or two")
        if self.people == "none" and self.timeout != timedelta(days=7):
            raise ValueError("asks nobody, so timeout has no effect; write people: one, or two")
        return self

    @model_serializer
    def _write(self) -> Any:
        options = (
            {"users": list(self.users), "override": self.override} if self.users or self.override else {}
        )
        if options or self.timeout != timedelta(days=7):
            return {"people": self.people, "timeout": iso(self.timeout), **options}
        return self.people

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [{"enum": ["none", "one", "two"]}, schema], "description": cls.__doc__}
