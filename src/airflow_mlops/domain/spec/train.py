"""Sections of a spec about training: candidates, window, holdout and budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field

from airflow_mlops.domain.metrics import Metric, Task, metric_of, names
from airflow_mlops.domain.spec.candidates import Candidate, in_place
from airflow_mlops.domain.spec.fields import Column, Count, Line, MetricName, Number, Whole, of_another_task
from airflow_mlops.domain.spec.intervals import PredictionIntervals
from airflow_mlops.domain.spec.loading import Place
from airflow_mlops.domain.spec.outliers import DETECTORS, unfit
from airflow_mlops.domain.spec.own_metrics import NamesOwnMetrics, OwnMetrics
from airflow_mlops.domain.spec.problems import Problems
from airflow_mlops.domain.spec.rows import ClassWeight, Holdout, classes_by_name
from airflow_mlops.domain.spec.section import Section
from airflow_mlops.domain.spec.windows import Window, spans

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
_OF_FITS = ("candidates", "folds", "intervals", "class_weight", "budget", "seed", "recalibrate")
_OTHER_SUFFIX = {Task.CLASSIFICATION: "Regressor", Task.REGRESSION: "Classifier"}


class Budget(Section):
    """How long a search over parameters may go on; the first limit that is reached ends it."""

    trials: Count = Field(
        default=20, le=100_000, description="Combinations of parameters to try for each candidate."
    )
    seconds: Annotated[Number, Field(gt=0)] = Field(
        default=3600,
        description="Seconds after which a search begins no more trials: a guard far above need, since what it cuts short depends "
        "on the machine. How many trials were done is then kept with the version.",
    )
    parallel: Count = Field(
        default=1,
        description="Trials to fit side by side, in threads or on a Dask cluster ([mlops] dask_scheduler).",
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
    return in_place(candidates)


class Train(NamesOwnMetrics):
    """What is trained, on which rows."""

    window: Window = Field(
        default="all",
        description="Partitions to learn from, the latest before the holdout; `all` for every one. A list such as `[all, 3]` leaves it to "
        "each training, which takes what predicts the newest training partition best, the longest unless a shorter one does by more than chance explains.",
    )
    holdout: Holdout = Field(
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
    metrics: OwnMetrics = Field(
        default={}, description="Metrics of your own by name, which can be named wherever a metric can."
    )
    metric: MetricName | None = Field(
        default=None,
        description="Metric that candidates are ranked by; by default `roc_auc` for classification, `rmse` for regression.",
    )
    candidates: Annotated[tuple[Candidate, ...], AfterValidator(_names_differ)] = Field(
        default=(),
        description="Models to try; by default a linear model and gradient boosting, and none with `elsewhere`.",
    )
    elsewhere: Line | None = Field(
        default=None,
        description="Registered model in MLflow whose versions somebody else trains: instead of `candidates`, its newest version is "
        "judged, once. `null`: candidates are trained here.",
    )
    trust: Literal["skops", "pickle"] = Field(
        default="skops",
        description="What models that were trained elsewhere may be stored as, to be taken in or adopted: `skops`, which is read without "
        "running code, or also `pickle`, which runs whatever code is in the file as the worker's user.",
    )
    intervals: PredictionIntervals | None = Field(
        default=None, description="Bounds of the predicted number, of a regression; `null` for none."
    )
    weights: Column | None = Field(
        default=None,
        description="Column of the data that says how much each row counts, from 0 on: in every fit, and in every metric of "
        "training, evaluation and monitoring. `null`: all alike.",
    )
    class_weight: ClassWeight = Field(
        default=None,
        description="How much the rows of a class count in a fit, beside `weights`: `balanced`, or a number for each class, 1 for "
        "those not named. Metrics are not weighted by it.",
    )
    groups: Column | None = Field(
        default=None,
        description="Column, such as a customer, whose rows of one value never stand on both sides of a split: a model is judged on "
        "groups that came later than all it has learned from.",
    )
    recalibrate: bool = Field(
        default=False,
        description="Where the champion's calibration asks for a training (`monitor.performance.chance`) and it ranks as well as "
        "before, judge the champion with probabilities that are refitted on later labels first; a classification's.",
    )
    budget: Budget = Field(default_factory=Budget, description="Limits of the search over parameters.")
    seed: Annotated[Whole, Field(lt=2**32)] = Field(
        default=0, description="Seed of everything random: the same data, spec and seed give the same model."
    )

    @property
    def ranked(self) -> bool:
        """Whether candidates are measured on the folds: a sole candidate without a search is not."""
        return len(self.candidates) > 1 or any(candidate.space for candidate in self.candidates)

    def ranked_by(self, task: Task) -> Metric:
        """Return the metric that candidates are ranked by."""
        name = self.metric or names(task)[0]
        return self.metrics[name].named(name, task) if name in self.metrics else metric_of(name)

    def of_task(self, task: Task, classes: int = 2) -> Self:
        """Return the section with the metric and the candidates that a task has by default, where it names none.

        :param classes: number of classes of a classification, as far as the spec names them.
        :raises Problems: if the metric, or a candidate, is for the other task.
        """
        complaints: list[tuple[Place, str]] = [*self._idle_elsewhere()]
        if self.metric and metric_of(self.metric).task != task:
            complaints.append((("metric",), of_another_task(self.metric, task)))
        complaints += (
            (("candidates", position), f"{part.estimator} is not for {task}")
            for position, candidate in enumerate(self.candidates)
            for part in candidate.parts()
            if part.estimator.endswith(_OTHER_SUFFIX[task])
        )
        complaints += (
            (("candidates", position, "calibrate"), "is for classification; leave it out")
            for position, candidate in enumerate(self.candidates)
            if task is Task.REGRESSION
            # A detector has a complaint of its own: it is for classification, and calibrated there.
            and any(part.calibrate for part in candidate.parts() if part.estimator not in DETECTORS)
        )
        complaints += (
            (("candidates", position), why)
            for position, candidate in enumerate(self.candidates)
            if (why := candidate.against_groups()) and self.groups
        )
        complaints += (
            (("candidates", position), f"{why}, or leave {setting} out")
            for position, candidate in enumerate(self.candidates)
            for setting in ("weights", "class_weight")
            if getattr(self, setting) is not None and (why := candidate.against_weights())
        )
        complaints += (
            (("candidates", position), why)
            for position, candidate in enumerate(self.candidates)
            for part in candidate.parts()
            if part.estimator in DETECTORS and (why := unfit(part.name, task, classes, part.calibrate))
        )
        if self.intervals and task is Task.CLASSIFICATION:
            complaints.append(
                (("intervals",), "are bounds of a number; a class has a probability; leave it out")
            )
        if self.recalibrate and task is not Task.CLASSIFICATION:
            complaints.append((("recalibrate",), "is of probabilities, and a number has none; leave it out"))
        if self.class_weight is not None and task is not Task.CLASSIFICATION:
            complaints.append((("class_weight",), "belongs to classification; weights is for any task"))
        elif self.class_weight is not None:
            complaints += (
                (("candidates", position), "sets class_weight too, and the two would multiply: keep one")
                for position, candidate in enumerate(self.candidates)
                if any("class_weight" in {*part.params, *part.search} for part in candidate.parts())
            )
        else:
            complaints += classes_by_name(self.candidates)
        Problems.raise_any(complaints)
        named = () if self.elsewhere else _CANDIDATES[task]
        default = tuple(Candidate.from_dict(candidate) for candidate in named)
        metric = self.metric or names(task)[0]
        return self.model_copy(update={"metric": metric, "candidates": self.candidates or default})

    def _idle_elsewhere(self) -> Iterator[tuple[Place, str]]:
        """Yield a complaint about each key that says how to train, where nothing is trained."""
        if self.elsewhere and len(spans(self.window)) > 1:
            yield ("window",), "is chosen by fits, and models of elsewhere are not fitted here: name one"
        for name in _OF_FITS if self.elsewhere else ():
            if getattr(self, name) != type(self).model_fields[name].get_default(call_default_factory=True):
                yield (
                    (name,),
                    f"says how models are trained here, and those of elsewhere: {self.elsewhere} are not: keep one of the two",
                )
