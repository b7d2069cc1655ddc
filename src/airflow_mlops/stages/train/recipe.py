"""The recipe of a training: features, split, data and settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from airflow_mlops.domain.facts.recipe import Recipe, TrainingConfig
from airflow_mlops.domain.facts.results import DatasetVersion, Split
from airflow_mlops.domain.spec.candidates import Candidate
from airflow_mlops.domain.spec.data import Features
from airflow_mlops.learning.labels import labelled, labels
from airflow_mlops.stages.train.split import starts

_NUMERIC = ("int", "uint", "float", "double", "halffloat", "decimal", "bool")
_TEXT = ("string", "large_string", "dictionary")
_TIMES = ("timestamp", "date")


def derive_features(dataset: DatasetVersion, target: str, besides: Collection[str | None] = ()) -> Features:
    """Return every column as a feature but those of key, event time and labels.

    Numbers and booleans are numeric, texts are categories, times are dates; columns of other types are left out.

    :param besides: further columns that are none, such as weights.
    :raises SpecError: if no column is left.
    """
    others = {*dataset.key, dataset.event_time, target, *((labels.LABELLED_AT,) if dataset.labels else ())}
    others |= {name for name in besides if name is not None}
    left = {name: kind for name, kind in dataset.columns.items() if name not in others}
    kinds = by_type(left)
    return Features(numeric=kinds["numeric"], categorical=kinds["categorical"], dates=kinds["dates"])


def by_type(columns: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return columns by what their Arrow types make them as features; those of other types are left out."""
    kinds = {"numeric": _NUMERIC, "categorical": _TEXT, "dates": _TIMES}
    return {
        kind: tuple(name for name, arrow in columns.items() if arrow.startswith(prefixes))
        for kind, prefixes in kinds.items()
    }


def recipe_of(
    config: TrainingConfig, dataset: DatasetVersion, split: Split, candidate: Candidate, model: str
) -> Recipe:
    """Return the recipe that one candidate is trained by.

    :param split: of the dataset, as :func:`airflow_mlops.stages.train.split.split_of` places it.
    :param model: name to register under.
    :raises SpecError: if features are to be derived and no column is left for one.
    """
    question = config.question
    return Recipe(
        model=model,
        candidate=candidate,
        task=question.task,
        target=question.target,
        features=config.features
        or derive_features(dataset, question.target, (question.weights, config.groups)),
        metric=question.metric,
        dataset=labelled.seal(dataset, split.start, split.end),
        split=split,
        budget=config.budget,
        folds=config.folds,
        seed=config.seed,
        ranked=config.ranked,
        classes=question.classes,
        intervals=config.intervals,
        decision=question.decision,
        own_metrics=question.own_metrics,
        weights=question.weights,
        class_weight=config.class_weight,
        groups=config.groups,
        starts=starts(dataset, split, config.holdout, config.window),
    )
