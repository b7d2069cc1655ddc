"""The recipe of a training: everything that decides which model comes out."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from airflow_mlops.domain.checks import Fact
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef, Split
from airflow_mlops.domain.spec.candidates import Candidate
from airflow_mlops.domain.spec.data import Features
from airflow_mlops.domain.spec.decision import Decision
from airflow_mlops.domain.spec.intervals import PredictionIntervals
from airflow_mlops.domain.spec.own_metrics import OwnMetric
from airflow_mlops.domain.spec.train import Budget
from airflow_mlops.domain.spec.windows import Window

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.model import ModelSpec

LEAST_ROWS = 50
"""Fewest labelled rows that a model is trained on."""
RECALIBRATION = "recalibration"
"""What stands in place of a candidate for the champion with refitted probabilities."""
CONSTANT = "constant"
"""What stands in place of a candidate for the mean, or the share of each class, of the training labels."""
LEAST_OF_A_CLASS = 10
"""Fewest rows of a class that a model learns, unless the spec names it."""


def _absent(value: object) -> bool:
    return value is None


class TrainingConfig(Fact):
    """The settings of a training that do not depend on the data or the candidate.

    :param features: feature columns; None means all columns but key, event time and target.
    :param holdout: number of partitions, or share of the latest rows, that are kept for evaluation.
    :param window: number of partitions to train on, or ``all``; several leave it to each training.
    :param budget: bounds of the search for hyperparameters.
    :param folds: spans of time that a search validates on.
    :param ranked: whether a candidate without a search is measured on the folds too.
    :param seed: seed of everything random.
    :param intervals: bounds of a regression's predictions; None for none.
    :param class_weight: how much the rows of each class count in a fit; see :class:`Recipe`.
    :param groups: column whose rows of one value stay on one side of a split; None for none.
    """

    question: Question
    features: Features | None = None
    holdout: int | float = 1
    window: Window = "all"
    budget: Budget = Budget()
    folds: int = 1
    ranked: bool = True
    seed: int = 0
    intervals: PredictionIntervals | None = Field(default=None, exclude_if=lambda bounds: bounds is None)
    class_weight: Literal["balanced"] | dict[str, float] | None = Field(default=None, exclude_if=_absent)
    groups: str | None = Field(default=None, exclude_if=_absent)

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Return the settings by which the candidates of a spec are trained."""
        return cls(
            question=Question.of(spec),
            features=spec.features,
            holdout=spec.train.holdout,
            window=spec.train.window,
            budget=spec.train.budget,
            folds=spec.train.folds,
            ranked=spec.train.ranked,
            seed=spec.train.seed,
            intervals=spec.train.intervals,
            class_weight=spec.train.class_weight,
            groups=spec.train.groups,
        )


class Recipe(Fact):
    """Everything that a candidate is trained from; the same recipe gives the same model.

    Each registered version keeps its recipe in the tag ``mlops.recipe``, together with the parameters that the search
    chose, so that a training can be repeated years later.

    :param model: registered model's name.
    :param task: ``classification`` or ``regression``.
    :param metric: metric that trials and candidates are ranked by.
    :param classes: the classes of a classification in order; none if they are those of the training rows.
    :param decision: from which probability on a row is put in the second of two classes; None for 0.5.
    :param folds: spans of time that a search validates on.
    :param ranked: False for a sole candidate without a search, which is fitted once and has no inner score.
    :param searched: how many trials the search did, if the budget's seconds cut it short; with it the search does exactly as
        many, at any speed. None leaves it to the budget.
    :param own_metrics: metrics of one's own by name.
    :param intervals: bounds of a regression's predictions, for which the latest rows are kept; None for none.
    :param weights: column that says how much each row counts; None means that all count alike.
    :param class_weight: ``balanced``, or how much the rows of each class count in a fit, by its name, 1 for one that is not
        named; None means that all count alike.
    :param groups: column whose rows of one value stay on one side of a split; None for none.
    :param starts: the windows to choose from, the longest first, by the time at which each begins; none if the split says it.
        In the recipe of a version, ``split`` begins with the window that was chosen.
    :param keeps: the version whose model is kept, and whose probabilities alone are refitted; None fits the candidate.
    :param fresh_from: time of the first row that ``keeps`` has not learned from, to which its probabilities are refitted.
    :param constant: whether it is the constant that may take the place of a champion that fails.
    """

    model: str
    candidate: Candidate
    task: str
    target: str
    features: Features
    metric: str
    dataset: DatasetVersion
    split: Split
    budget: Budget
    folds: int = 1
    seed: int = 0
    ranked: bool = True
    # Left out unless they say something: recipes are compared by their JSON, also with those of former builds.
    searched: int | None = Field(default=None, exclude_if=_absent)
    classes: tuple[str, ...] = Field(default=(), exclude_if=lambda names: not names)
    intervals: PredictionIntervals | None = Field(default=None, exclude_if=lambda bounds: bounds is None)
    decision: Decision | None = Field(default=None, exclude_if=lambda decision: decision is None)
    own_metrics: dict[str, OwnMetric] = Field(default_factory=dict, exclude_if=lambda own: not own)
    weights: str | None = Field(default=None, exclude_if=_absent)
    class_weight: Literal["balanced"] | dict[str, float] | None = Field(default=None, exclude_if=_absent)
    groups: str | None = Field(default=None, exclude_if=_absent)
    starts: dict[str, datetime] = Field(default_factory=dict, exclude_if=lambda starts: not starts)
    keeps: ModelRef | None = Field(default=None, exclude_if=_absent)
    fresh_from: datetime | None = Field(default=None, exclude_if=_absent)
    constant: bool = Field(default=False, exclude_if=lambda fallback: not fallback)
