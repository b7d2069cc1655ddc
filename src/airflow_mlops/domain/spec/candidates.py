"""Candidates of a training: estimators with their parameters, calibrated or not, and ensembles of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PlainValidator,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from airflow_mlops.domain.estimators import PACKAGES
from airflow_mlops.domain.spec.fields import Json, Line
from airflow_mlops.domain.spec.loading import Place, describe
from airflow_mlops.domain.spec.outliers import DETECTORS
from airflow_mlops.domain.spec.problems import Problems, explain, one_of
from airflow_mlops.domain.spec.search import Range, Space
from airflow_mlops.domain.spec.section import Section, short_form, short_schema

_FUNCTION = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"


def _member(value: Any) -> Any:
    if isinstance(value, str | Candidate):
        return value
    try:
        return Candidate.model_validate(value)
    except ValidationError as error:
        problems = explain(Candidate, value, error)
    raise Problems((problem.place, problem.text) for problem in problems)


Member = Annotated[Any, PlainValidator(_member)]
"""The name of a candidate, or a :class:`Candidate`."""
ENSEMBLE = "ensemble"
"""What an ensemble is written as, in place of an estimator."""
TAKEN = (
    "cv", "estimators", "final_estimator", "flatten_transform", "n_jobs", "passthrough", "stack_method", "verbose", "voting",
    "weights",
)  # fmt: skip
"""Names that no member of an ensemble may have: scikit-learn addresses members and parameters of an ensemble alike."""


def _default_name(values: dict[str, Any]) -> str:
    """Return the name of the estimator's class or function; of an ensemble, its method."""
    if values.get("estimator") == ENSEMBLE:
        return str(values.get("method", ENSEMBLE))
    return re.split(r"[.:]", str(values.get("estimator", "")))[-1]


class Candidate(Section):
    """One kind of model to try; in YAML `- dotted.path.of.Estimator: {parameters}`, or `- ensemble: {of: […]}`."""

    estimator: Line = Field(
        description="Dotted path of an estimator of scikit-learn, LightGBM or XGBoost; or `module:function` that takes "
        "the parameters and returns an unfitted one, such as a `Pipeline`; or `ensemble`."
    )
    params: dict[str, Json] = Field(default={}, description="Its fixed parameters.")
    search: dict[str, Space] = Field(
        default={},
        description="What to try for each of its other parameters: a list of values, or a range of numbers.",
    )
    calibrate: Literal["sigmoid", "isotonic", "temperature"] | None = Field(
        default=None,
        description="How a classifier's scores are made probabilities that mean what they say, on rows that it was not "
        "fitted to; `null` leaves them as they are.",
    )
    of: tuple[Member, ...] = Field(
        default=(), description="Members of an `ensemble`: names of other candidates, or candidates."
    )
    method: Literal["voting", "stacking"] | None = Field(
        default=None,
        description="How an `ensemble` predicts: by the mean of its members (`voting`), or by a linear model of what they "
        "predict (`stacking`).",
    )
    name: Line = Field(
        default_factory=_default_name,
        description="Readable name, unique among the candidates; by default the estimator's class, or the ensemble's method.",
    )

    @property
    def members(self) -> tuple[Candidate, ...]:
        """The members of an ensemble; none of any other candidate.

        :raises ValueError: if only the names of some are there, as before a spec has put the candidates in their place.
        """
        names = [member for member in self.of if isinstance(member, str)]
        if names:
            raise ValueError(f"there is no candidate {names[0]!r} here; write it in its place")
        return tuple(member for member in self.of if isinstance(member, Candidate))

    @property
    def space(self) -> dict[str, list[Any] | Range]:
        """What a search tries: an ensemble's members are searched together, each parameter behind the member's name."""
        members = {
            f"{member.name}__{name}": values
            for member in self.members
            for name, values in member.space.items()
        }
        return {**self.search, **members}

    @property
    def kind(self) -> str:
        """The estimator in words, such as ``stacking of A and B, calibrated by sigmoid``."""
        members = " and ".join(member.name for member in self.of if isinstance(member, Candidate))
        words = f"{self.method} of {members}" if self.of else self.estimator
        return f"{words}, calibrated by {self.calibrate}" if self.calibrate else words

    def against_groups(self) -> str:
        """Return why a candidate cannot be fitted to rows of groups; "" if it can."""
        apart = self.calibrate or self.method == "stacking"
        for part in self.parts():
            if part.estimator.endswith("CV") and (apart or part.calibrate):
                return (
                    f"{part.estimator} splits rows of its own within calibrate or stacking, where rows of one group of "
                    f"train.groups would stand on both sides: take {part.estimator[:-2]} with a search, or leave groups out"
                )
        return ""

    def against_weights(self) -> str:
        """Return why a candidate cannot be fitted with sample weights, as far as its name says; "" if it may be."""
        detectors = [part for part in self.parts() if part.estimator in DETECTORS]
        if not detectors:
            return ""
        return f"{detectors[0].name} looks for outliers among rows that all count alike: take a classifier"

    def parts(self) -> Iterator[Candidate]:
        """Yield the candidate, and each member of an ensemble."""
        yield self
        yield from self.members

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        example = "`- sklearn.linear_model.LogisticRegression: {max_iter: 500}`"
        ensemble = isinstance(value, dict) and ENSEMBLE in value
        own = ("name", "calibrate", *(("of", "method") if ensemble else ("search",)))
        return short_form(value, "estimator", own, "params", example)

    @field_validator("estimator")
    @classmethod
    def _allowed(cls, value: str) -> str:
        if value == ENSEMBLE or re.fullmatch(_FUNCTION, value, re.ASCII):
            return value
        if not re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", value, re.ASCII):
            raise ValueError(
                f"must be a dotted path such as sklearn.linear_model.LogisticRegression, not {describe(value)}"
            )
        if value.partition(".")[0] not in PACKAGES:
            raise ValueError(
                f"{value} is outside the packages that estimators may come from: {', '.join(PACKAGES)}; "
                "a function of yours is written module:function"
            )
        return value

    @field_validator("params")
    @classmethod
    def _no_own_keys(cls, values: dict[str, Any]) -> dict[str, Any]:
        Problems.raise_any(
            ((key,), "is a key of the candidate, not a parameter of its estimator")
            for key in ("name", "search", "calibrate")
            if key in values
        )
        return values

    @field_validator("search")
    @classmethod
    def _not_fixed(cls, values: dict[str, Any], info: Any) -> dict[str, Any]:
        Problems.raise_any(
            ((key,), "is also given a fixed value; keep one")
            for key in values
            if key in info.data.get("params", {})
        )
        return values

    @field_validator("name")
    @classmethod
    def _readable(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9 _.-]{0,99}", value):
            raise ValueError(
                f"must begin with a letter, then letters, digits, spaces and _ . -, at most 100, not {describe(value)}"
            )
        return value

    @model_validator(mode="after")
    def _whole(self) -> Candidate:
        if self.estimator != ENSEMBLE:
            if self.of or self.method:
                raise ValueError(f"of and method belong to an ensemble, and not to {self.estimator}")
            return self
        Problems.raise_any(
            ((key,), "is no key of an ensemble; its keys: of, method, name, calibrate")
            for key in (*self.params, *(("search",) if self.search else ()))
        )
        names = [member if isinstance(member, str) else member.name for member in self.of]
        if len(set(names)) < max(2, len(names)):
            raise ValueError("an ensemble is `of` two different candidates or more: write their names")
        if self.method is None:
            raise ValueError(
                "says no method: voting takes the mean of its members, stacking learns from them"
            )
        Problems.raise_any(
            (("of", position), why)
            for position, member in enumerate(self.of)
            if isinstance(member, Candidate) and (why := member._no_member())
        )
        return self

    def _no_member(self) -> str:
        """Return why a candidate cannot be the member of an ensemble; "" if it can."""
        if self.estimator == ENSEMBLE:
            return f"{self.name} is an ensemble itself: name its members"
        if ":" in self.estimator:
            return (
                f"{self.name} is built by a function, whose code is stored with a model of its own only: build the ensemble in "
                "the function"
            )
        if self.name in TAKEN or "__" in self.name:
            return (
                f"{self.name!r} is a parameter of ensembles too, or could be: give the candidate another name"
            )
        return ""

    @model_serializer
    def _write(self) -> dict[str, Any]:
        spaces = {
            key: space.to_dict() if isinstance(space, Range) else space for key, space in self.search.items()
        }
        search = {"search": spaces} if self.search else {}
        default = _default_name({"estimator": self.estimator, "method": self.method})
        name = {"name": self.name} if self.name != default else {}
        calibrate = {"calibrate": self.calibrate} if self.calibrate else {}
        if self.estimator == ENSEMBLE:
            members = [member if isinstance(member, str) else member.to_dict() for member in self.of]
            return {ENSEMBLE: {**name, "of": members, "method": self.method, **calibrate}}
        return {self.estimator: {**name, **calibrate, **self.params, **search}}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        values = [{"type": "array", "minItems": 1}, Range.model_json_schema()]
        search = {
            "type": "object",
            "additionalProperties": {"anyOf": values},
            "description": "Values, or a range of numbers, to try for each parameter.",
        }
        methods = {
            "enum": ["sigmoid", "isotonic", "temperature"],
            "description": "How scores become probabilities.",
        }
        own = {"name": {"type": "string", "description": "Readable name, unique."}, "calibrate": methods}
        pattern = rf"^(({'|'.join(PACKAGES)})(\.[A-Za-z]\w*)+|{_FUNCTION})$"
        arguments = {"type": ["object", "null"], "properties": {**own, "search": search}}
        estimators = short_schema(pattern, arguments, cls.__doc__)
        ensemble = {
            "type": "object",
            "properties": {
                **own,
                "of": {"type": "array", "minItems": 2, "items": {"type": ["string", "object"]}},
                "method": {"enum": ["voting", "stacking"]},
            },
            "required": ["of", "method"],
            "additionalProperties": False,
        }
        estimators["anyOf"][1]["patternProperties"][f"^{ENSEMBLE}$"] = ensemble
        return estimators


def in_place(candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Return candidates with the members of ensembles in the place of their names.

    :raises Problems: if a name is that of no candidate, or of one that cannot be a member.
    """
    by_name = {candidate.name: candidate for candidate in candidates}
    complaints: list[tuple[Place, str]] = []
    for position, candidate in enumerate(candidates):
        for place, member in enumerate(candidate.of):
            if isinstance(member, str) and member not in by_name:
                why = f"{member!r} is the name of no candidate{one_of(member, by_name)}"
                complaints.append(((position, "of", place), why))
            elif isinstance(member, str) and (why := by_name[member]._no_member()):
                complaints.append(((position, "of", place), why))
    Problems.raise_any(complaints)

    def resolved(member: Any) -> Any:
        return by_name.get(member, member) if isinstance(member, str) else member

    return tuple(
        candidate.model_copy(update={"of": tuple(map(resolved, candidate.of))}) if candidate.of else candidate
        for candidate in candidates
    )
