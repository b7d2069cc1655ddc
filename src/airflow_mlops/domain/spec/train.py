"""Sections of a spec about training: candidates, window, holdout and budget."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from airflow_mlops.domain.estimators import PACKAGES
from airflow_mlops.domain.metrics import METRICS, Task, names
from airflow_mlops.domain.spec.fields import Count, Json, Line, MetricName, Number, Whole, of_another_task
from airflow_mlops.domain.spec.loading import Place, describe
from airflow_mlops.domain.spec.problems import Problems
from airflow_mlops.domain.spec.section import Section, short_form, short_schema

_FUNCTION = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"
_GRADIENT_BOOSTING = {"search": {"learning_rate": [0.03, 0.1, 0.3], "max_leaf_nodes": [15, 31, 63]}}
_CANDIDATES: dict[Task, tuple[dict[str, Any], ...]] = {
    Task.CLASSIFICATION: (
        {"sklearn.linear_model.LogisticRegression": {"max_iter": 1000}},
        {"sklearn.ensemble.HistGradientBoostingClassifier": _GRADIENT_BOOSTING},
    ),
    Task.REGRESSION: (
        {"sklearn.linear_model.Ridge": {}},
        {"sklearn.ensemble.HistGradientBoostingRegressor": _GRADIENT_BOOSTING},
    ),
}
_OTHER_SUFFIX = {Task.CLASSIFICATION: "Regressor", Task.REGRESSION: "Classifier"}


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


def _last(path: str) -> str:
    return re.split(r"[.:]", path)[-1]


class Candidate(Section):
    """One kind of model to try; in YAML `- dotted.path.of.Estimator: {parameters}`."""

    estimator: Line = Field(
        description="Dotted path of an estimator of scikit-learn, LightGBM or XGBoost; or `module:function` that takes "
        "the parameters and returns an unfitted one, such as a `Pipeline`."
    )
    params: dict[str, Json] = Field(default={}, description="Its fixed parameters.")
    search: dict[str, Space] = Field(
        default={},
        description="What to try for each of its other parameters: a list of values, or a range of numbers.",
    )
    name: Line = Field(
        default_factory=lambda values: _last(str(values.get("estimator", ""))),
        description="Readable name, unique among the candidates; by default the estimator's class.",
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        example = "`- sklearn.linear_model.LogisticRegression: {max_iter: 500}`"
        return short_form(value, "estimator", ("name", "search"), "params", example)

    @field_validator("estimator")
    @classmethod
    def _allowed(cls, value: str) -> str:
        if re.fullmatch(_FUNCTION, value, re.ASCII):
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
            for key in ("name", "search")
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

    @model_serializer
    def _write(self) -> dict[str, Any]:
        spaces = {
            key: space.to_dict() if isinstance(space, Range) else space for key, space in self.search.items()
        }
        search = {"search": spaces} if self.search else {}
        name = {"name": self.name} if self.name != _last(self.estimator) else {}
        return {self.estimator: {**name, **self.params, **search}}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        values = [{"type": "array", "minItems": 1}, Range.model_json_schema()]
        search = {
            "type": "object",
            "additionalProperties": {"anyOf": values},
            "description": "Values, or a range of numbers, to try for each parameter.",
        }
        own = {"name": {"type": "string", "description": "Readable name, unique."}, "search": search}
        pattern = rf"^(({'|'.join(PACKAGES)})(\.[A-Za-z]\w*)+|{_FUNCTION})$"
        return short_schema(pattern, {"type": ["object", "null"], "properties": own}, cls.__doc__)


class Budget(Section):
    """How long a search over parameters may go on; the first limit that is reached ends it."""

    trials: Count = Field(default=20, description="Combinations of parameters to try for each candidate.")
    seconds: Annotated[Number, Field(gt=0)] = Field(
        default=3600,
        description="Seconds after which a search begins no more trials: a guard far above need, since what it cuts short depends "
        "on the machine. How many trials were done is then kept with the version.",
    )
    parallel: Count = Field(
        default=1,
        description="Trials to fit side by side, in threads or on a Dask cluster ([mlops] dask_scheduler).",
    )


def _window(value: Any) -> Any:
    if value == "all" or (type(value) is int and value >= 1):
        return value
    raise ValueError(f"must be all, or a number of partitions from 1, not {describe(value)}")


def _holdout(value: Any) -> Any:
    if (type(value) is int and value >= 1) or (type(value) is float and 0 < value <= 0.5):
        return value
    raise ValueError(
        "must be a number of partitions (1, 2, …) or a share of the latest rows above 0 and up to 0.5, "
        f"not {describe(value)}"
    )


def _names_differ(candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    seen: dict[str, int] = {}
    Problems.raise_any(
        (
            (position, "name"),
            f"{candidate.name!r} already names candidates[{first}]; give one of them another `name`",
        )
        for position, candidate in enumerate(candidates)
        if (first := seen.setdefault(candidate.name, position)) != position
    )
    return candidates


class Train(Section):
    """What is trained, on which rows."""

    window: Annotated[
        int | Literal["all"],
        PlainValidator(_window),
        WithJsonSchema({"anyOf": [{"const": "all"}, {"type": "integer", "minimum": 1}]}),
    ] = Field(
        default="all",
        description="Partitions to learn from, the latest before the holdout; `all` for every one.",
    )
    holdout: Annotated[
        int | float,
        PlainValidator(_holdout),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "integer", "minimum": 1},
                    {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
                ]
            }
        ),
    ] = Field(
        default=1,
        description="Latest data, kept to judge on: a number of partitions (whole number), or a share of rows "
        "(above 0, up to 0.5).",
    )
    folds: Count = Field(
        default=1,
        description="Spans of time, the latest fifths of the training rows, that a search validates on, each time fitted "
        "to the rows before; with several, trials that fall behind are given up early. At most 4.",
        le=4,
    )
    metric: MetricName | None = Field(
        default=None,
        description="Metric that candidates are ranked by; by default `roc_auc` for classification, `rmse` for regression.",
    )
    candidates: Annotated[tuple[Candidate, ...], AfterValidator(_names_differ)] = Field(
        default=(), description="Models to try; by default a linear model and gradient boosting."
    )
    budget: Budget = Field(default_factory=Budget, description="Limits of the search over parameters.")
    seed: Annotated[Whole, Field(lt=2**32)] = Field(
        default=0, description="Seed of everything random: the same data, spec and seed give the same model."
    )

    @property
    def ranked(self) -> bool:
        """Whether candidates are measured on the folds: a sole candidate without a search is not."""
        return len(self.candidates) > 1 or any(candidate.search for candidate in self.candidates)

    def of_task(self, task: Task) -> Self:
        """Return the section with the metric and the candidates that a task has by default, where it names none.

        :raises Problems: if the metric, or a candidate, is for the other task.
        """
        complaints: list[tuple[Place, str]] = []
        if self.metric and METRICS[self.metric].task != task:
            complaints.append((("metric",), of_another_task(self.metric, task)))
        complaints += (
            (("candidates", position), f"{candidate.estimator} is not for {task}")
            for position, candidate in enumerate(self.candidates)
            if candidate.estimator.endswith(_OTHER_SUFFIX[task])
        )
        Problems.raise_any(complaints)
        default = tuple(Candidate.from_dict(candidate) for candidate in _CANDIDATES[task])
        metric = self.metric or names(task)[0]
        return self.model_copy(update={"metric": metric, "candidates": self.candidates or default})
