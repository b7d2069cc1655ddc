"""The section of a spec about what a candidate must pass before it becomes champion."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from airflow_mlops.domain.metrics import Task, find, forms, nearest
from airflow_mlops.domain.spec.approval import Approval
from airflow_mlops.domain.spec.class_gates import ClassGates
from airflow_mlops.domain.spec.fields import (
    BY_METRIC,
    Confidence,
    Count,
    Floor,
    Number,
    PartitionCount,
    Share,
    SomeColumns,
    Whole,
    other_task,
)
from airflow_mlops.domain.spec.intervals import TOLERANCE
from airflow_mlops.domain.spec.loading import Place, describe
from airflow_mlops.domain.spec.problems import Problems, did_you_mean
from airflow_mlops.domain.spec.rescue import Rescue
from airflow_mlops.domain.spec.section import Section

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")
"""Rates that groups can be compared by besides the metrics: shares of rows that a classifier calls positive, by its `decision`."""

CLOSED_FORMS = {"delong": "roc_auc", "mcnemar": "accuracy"}
"""Tests with a closed formula, and the metric that each test is for."""

Block = Literal["hour", "day", "week", "month"]
"""Span of event time whose rows are resampled or judged together."""


class VersusChampion(Section):
    """How much better than the champion a candidate must be, on the same rows."""

    margin: Number = Field(
        default=0.0,
        description="Least improvement worth a promotion, in units of the metric; negative tolerates a loss.",
    )
    confidence: Confidence = Field(
        default=0.95,
        description="Confidence of the interval of the improvement, which must lie above the margin as a whole, from 0.5 to "
        "below 1; at 0.95, 2.5 % of candidates that are no better pass.",
    )
    test: Literal["auto", "bootstrap", "delong", "mcnemar"] = Field(
        default="auto",
        description="Paired test: `bootstrap` for any metric, `delong` for roc_auc and `mcnemar` for accuracy of "
        "independent rows; `auto` takes the closed form where it applies, else the bootstrap.",
    )
    block: Literal["auto", "none"] | Block = Field(
        default="auto",
        description="Rows of one `hour`, `day`, `week` or `month` depend on each other and are resampled together; "
        "`none` for independent rows; `auto` takes one step below the partition: days of a month.",
    )
    evidence: Literal["adds_up"] | None = Field(
        default=None,
        exclude_if=lambda way: way is None,
        description="`adds_up` adds the evidence of one partition to that of those before, by a test that may be looked at after "
        "each, and judges a candidate again whose improvement may be chance; `null` judges each candidate once, on its holdout.",
    )
    rescue: Rescue | None = Field(
        default=None,
        exclude_if=lambda rule: rule is None,
        description="What suffices while the champion's `performance` fails, where keeping it is a decision too; `null` asks "
        "for the same as ever.",
    )
    more_data: Annotated[Number, Field(gt=1)] | None = Field(
        default=None,
        exclude_if=lambda times: times is None,
        description="How many times as long a time as the champion a candidate must have learned from, whose rows include the "
        "champion's, for the better bet to suffice, as by `rescue`; `null` for never.",
    )

    @model_validator(mode="after")
    def _independent(self) -> VersusChampion:
        if self.test in CLOSED_FORMS and self.block not in ("auto", "none"):
            raise ValueError(
                f"{self.test} is for independent rows; write test: bootstrap, or leave block out"
            )
        return self


class Slices(Section):
    """What a candidate must reach within each part of the data."""

    by: SomeColumns = Field(description="Columns whose every value is a slice.")
    floor: Annotated[Floor, Field(min_length=1)] = Field(
        description=f"Worst value allowed in each slice, {BY_METRIC}"
    )
    min_rows: Count = Field(default=500, description="Holdout rows below which a slice is not judged.")
    confidence: Confidence | None = Field(
        default=0.95,
        description="A slice fails if it is shown to be below its floor at this confidence, corrected for the number of "
        "slices; `null` fails it for a measured value below the floor.",
    )


def _comparable(gaps: dict[str, float]) -> dict[str, float]:
    allowed = ", ".join((*RATES, *(form for task in Task for form in forms(task))))
    Problems.raise_any(
        ((name,), f"is no measure{did_you_mean(name, (*RATES, *nearest(name)))} allowed: {allowed}")
        for name in gaps
        if name not in RATES and find(name) is None
    )
    return gaps


class Fairness(Section):
    """How far groups of people may be apart."""

    by: SomeColumns = Field(description="Sensitive columns, which need not be features.")
    gaps: Annotated[
        dict[str, Annotated[Number, Field(gt=0)]], Field(min_length=1), AfterValidator(_comparable)
    ] = Field(
        description=f"Largest difference between two groups, by metric or rate ({', '.join(RATES)}); a gap fails if it "
        "is shown to be larger."
    )
    min_rows: Count = Field(default=500, description="Holdout rows below which a group is not judged.")
    confidence: Confidence = Field(
        default=0.95,
        description="Confidence at which a gap counts as shown, corrected for the number of gaps.",
    )


class Stability(Section):
    """How far the worst span of time may lie below the whole holdout."""

    drop: Annotated[Number, Field(gt=0)] = Field(
        description="Largest loss of the training metric in one span against the whole holdout."
    )
    by: Literal["auto"] | Block = Field(
        default="auto",
        description="Length of a span; `auto` takes one step below the partition: days of a month.",
    )
    min_rows: Count = Field(default=500, description="Rows below which a span is not judged.")


class Serving(Section):
    """What loading and predicting may cost, measured in a fresh process."""

    seconds: Annotated[Number, Field(gt=0)] = Field(
        default=60,
        description="Seconds of processor time to start, load and predict the sample, imports included.",
    )
    memory: Annotated[Number, Field(gt=0)] = Field(default=4096, description="MiB of resident memory.")
    size: Annotated[Number, Field(gt=0)] | None = Field(
        default=None, description="MiB of the model's file; `null` for any."
    )
    latency: Annotated[Number, Field(gt=0)] | None = Field(
        default=None,
        description="Milliseconds of processor time to predict one row, the fastest of 30; `null` for any.",
    )


class Shadow(Section):
    """How a challenger is judged while it predicts beside the champion; in YAML also the number of windows alone."""

    windows: PartitionCount = Field(
        default=3,
        description="Clean partitions in a row after which the challenger becomes champion.",
    )
    divergence: Annotated[Number, Field(gt=0)] | None = Field(
        default=None,
        description="Largest root mean square difference from the champion's predictions, in their standard "
        "deviations; `null` for any.",
    )
    margin: Annotated[Number, Field(ge=0)] = Field(
        default=0.0, description="How much worse a clean partition may be, in units of the training metric."
    )
    min_rows: Whole = Field(
        default=100, description="Rows with matured labels below which a partition is not judged."
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return {"windows": value} if isinstance(value, int) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [schema["properties"]["windows"], schema], "description": cls.__doc__}


class Gates(Section):
    """What a candidate must pass before it becomes champion."""

    floor: Floor = Field(default={}, description=f"Worst value allowed on the holdout, {BY_METRIC}")
    versus_champion: VersusChampion | None = Field(
        default_factory=VersusChampion, description="Comparison with the champion; `null` turns it off."
    )
    slices: Slices | None = Field(default=None, description="Floors for parts of the data; `null` for none.")
    classes: ClassGates | None = Field(
        default=None, description="What each class of a classifier must reach; `null` for nothing."
    )
    calibration: Share | None = Field(
        default=None,
        description="Largest expected calibration error of a classifier: how far predicted probabilities lie from the "
        "share of positives, on average; `null` for any.",
    )
    intervals: Share | None = Field(
        default=TOLERANCE,
        description="How far the share of true values between the bounds may lie from `train.intervals.coverage`; `null` for "
        "any.",
    )
    fairness: Fairness | None = Field(
        default=None, description="Largest gaps between groups of people; `null` for none."
    )
    stability: Stability | None = Field(
        default=None, description="Evenness over time within the holdout; `null` for none."
    )
    leakage: Share | None = Field(
        default=0.99,
        description="How well one feature alone may predict the target (ROC AUC, or R2 of a regression) before it is "
        "taken for a copy of it; `null` for any.",
    )
    serving: Serving = Field(default_factory=Serving, description="What loading and predicting may cost.")
    shadow: Shadow | None = Field(
        default=None,
        description="What a candidate that passed has to show beside the champion before it takes its place; it needs "
        "`score.shadow`. `null` for nothing.",
    )
    approval: Approval = Field(default_factory=Approval, description="Whether people have the last word.")

    @property
    def fallback(self) -> tuple[str, ...]:
        """What takes the place of a champion that fails where no candidate is the better bet."""
        rescue = self.versus_champion.rescue if self.versus_champion else None
        return rescue.fallback if rescue else ()

    @property
    def measured(self) -> dict[Place, str]:
        """The metrics that the gates name, by their place."""
        named: dict[Place, str] = {("floor", name): name for name in self.floor}
        if self.slices:
            named |= {("slices", "floor", name): name for name in self.slices.floor}
        if self.fairness:
            named |= {("fairness", "gaps", name): name for name in self.fairness.gaps}
        return named

    def problems(
        self, task: Task, target: str, metric: str | None, *, shadow: bool
    ) -> list[tuple[Place, str]]:
        """Return complaints about gates that do not suit a task, a target or the training metric, with their places.

        :param shadow: whether challengers predict beside the champion.
        """
        complaints = other_task(self.floor, task, ("floor",))
        if self.shadow and not shadow:
            why = "needs score: {shadow: true}: what counts is what a challenger predicts beside the champion"
            complaints.append((("shadow",), why))
        versus = self.versus_champion
        if self.shadow and self.fallback:
            why = "is for a champion that fails now, and gates.shadow has candidates wait; leave one of the two out"
            complaints.append((("versus_champion", "rescue", "fallback"), why))
        judged = CLOSED_FORMS.get(versus.test) if versus else None
        if versus and metric and judged not in (None, metric):
            why = f"{versus.test} compares {judged}, and train.metric is {metric}; use bootstrap"
            complaints.append((("versus_champion", "test"), why))
        if task is Task.REGRESSION:
            complaints += (
                ((name,), "is for classification; leave it out")
                for name in ("classes", "calibration")
                if getattr(self, name) is not None
            )
        if self.slices:
            complaints += other_task(self.slices.floor, task, ("slices", "floor"))
        if self.fairness:
            gaps = {name: gap for name, gap in self.fairness.gaps.items() if find(name)}
            complaints += other_task(gaps, task, ("fairness", "gaps"))
            complaints += (
                (("fairness", "gaps", name), "is a rate of classes; use mae or rmse")
                for name in self.fairness.gaps
                if name in RATES and task is Task.REGRESSION
            )
        for name, part in (("slices", self.slices), ("fairness", self.fairness)):
            if part and target in part.by:
                complaints.append(
                    (
                        (name, "by"),
                        f"holds the target {describe(target)}; name what is known when a row is scored",
                    )
                )
        return complaints
