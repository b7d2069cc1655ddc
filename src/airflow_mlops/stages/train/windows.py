"""Windows: which of several spans of the training rows a candidate is fitted to."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.facts.recipe import LEAST_OF_A_CLASS, LEAST_ROWS
from airflow_mlops.domain.facts.windows import WindowChoice
from airflow_mlops.domain.metrics import metric_of
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import NotEnoughData, TrainingFailed
from airflow_mlops.learning import threads
from airflow_mlops.learning.labels import groups, labelled
from airflow_mlops.learning.statistics import measures, paired, resampling
from airflow_mlops.stages.train import fitting, folds, measuring
from airflow_mlops.stages.train.split import at

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.domain.facts.decision import DecisionRule
    from airflow_mlops.domain.facts.recipe import Recipe
    from airflow_mlops.domain.policies.gates import Comparison

    Predictions = tuple[np.ndarray, DecisionRule]

log = logging.getLogger(__name__)

_CONFIDENCE = 0.8
"""Of the interval by which a shorter window has to be better."""


def choose(recipe: Recipe, data: fitting.Data, params: Mapping[str, Any]) -> WindowChoice:
    """Return the window whose rows before the newest training partition predict that partition best.

    That is one step ahead, as the model will be used (Dawid, Statistical Theory: The Prequential Approach, 1984): a window
    that begins after a jump of the relation shows itself two partitions later, while the latest fifth of all rows still is
    of the time before. The longest wins unless a shorter one is better by more than chance explains, since one partition
    tells two windows of a quiet stream apart by noise alone, and more rows are then the better guess: a shorter window takes the
    place of the best longer one where the paired interval of its improvement, at 80 %, lies above 0. Where there are too few
    days for an interval, the values decide. A window is no choice if it has fewer than 50 rows before that partition, or
    fewer than 10 of a class that the longest one has.

    :param data: the training rows of the longest window. Those that bounds are calibrated on later are among them: one of a
        few windows is chosen by them, and nothing is fitted to them.
    :param params: the parameters that the search has chosen.
    """
    import numpy as np

    newest = Partition.containing(recipe.split.cut - timedelta(microseconds=1), recipe.dataset.grain)
    predictions: dict[str, Predictions] = {}
    first = int(np.searchsorted(data.times, at(newest.start)))
    later = folds.validated(data, folds.Fold(first, data.times.size))
    if len(recipe.starts) > 1 and later.labels.size:
        for name, start in recipe.starts.items():
            before = data.between(int(np.searchsorted(data.times, at(start))), first)
            if _suffices(before, data.between(0, first), recipe):
                predicted = _predict(recipe, before, later, params, f"of the window {name}")
                predictions |= {name: predicted} if predicted is not None else {}
    scores = {
        name: measures.measure(recipe.metric, later.labels, values, rule=rule, weights=later.weights)
        for name, (values, rule) in predictions.items()
    }
    measured = {name: predictions[name] for name, score in scores.items() if score is not None}
    best = _best(measured, later, recipe) if measured else next(iter(recipe.starts))
    return WindowChoice(
        chosen="all" if best == "all" else int(best),
        partition=newest.key,
        scores={name: scores.get(name) for name in recipe.starts},
    )


def _suffices(rows: fitting.Data, longest: fitting.Data, recipe: Recipe) -> bool:
    import numpy as np

    if rows.labels.size < LEAST_ROWS:
        return False
    if recipe.task != "classification":
        return True
    classes = np.unique(longest.labels)
    counts = np.bincount(rows.labels, minlength=int(classes[-1]) + 1)[classes]
    return classes.size > 1 and bool((counts >= LEAST_OF_A_CLASS).all())


def _predict(
    recipe: Recipe, before: fitting.Data, later: fitting.Data, params: Mapping[str, Any], which: str
) -> Predictions | None:
    name = f"{fitting.name_of(recipe, params)}, {which}"
    try:
        unfitted = fitting.build(recipe, params, fitting.categories(recipe, before), len(before.classes))
        what = f"Fitting {name} to {before.labels.size:,} rows"
        with threads.remarks(), threads.bounded(threads.per_fit()):
            return threads.waited(
                lambda: measuring.predict_later(unfitted, before, later, recipe, name, threads.per_fit()),
                what,
            )
    except (TrainingFailed, NotEnoughData, ValueError) as error:
        log.warning("%s cannot be measured, and is not chosen: %s", name, error)
        return None


def _best(predictions: Mapping[str, Predictions], later: fitting.Data, recipe: Recipe) -> str:
    """Return the longest window, or the shorter one that is better than it, and than those between, by more than chance explains.

    :param predictions: of each window, the longest first; the training metric is defined for all.
    """
    blocks = (
        resampling.blocks(later.times, "auto", recipe.dataset.grain)
        if later.groups is None
        else groups.blocks(later.groups)
    )
    best, *shorter = predictions
    for name in shorter:
        (ours, our_rule), (theirs, their_rule) = predictions[name], predictions[best]
        compared = paired.difference(
            later.labels,
            ours,
            theirs,
            recipe.metric,
            blocks=blocks,
            confidence=_CONFIDENCE,
            rules=(our_rule, their_rule),
            weights=later.weights,
        )
        if _better(compared, metric_of(recipe.metric).greater_is_better):
            best = name
    return best


def _better(compared: Comparison, greater_is_better: bool) -> bool:
    if compared.interval is not None:
        return compared.interval[0] > 0
    ours, theirs = compared.observed, compared.baseline
    return ours is not None and theirs is not None and (ours > theirs if greater_is_better else ours < theirs)


def longest(recipe: Recipe, choice: WindowChoice) -> WindowChoice:
    """Return the choice of the longest window, whatever was measured."""
    name = next(iter(recipe.starts))
    return choice.model_copy(update={"chosen": "all" if name == "all" else int(name)})


def narrowed(recipe: Recipe, table: pa.Table, choice: WindowChoice) -> Recipe:
    """Return the recipe whose training rows are those of the chosen window; the holdout stays.

    :param table: the rows of the recipe.
    """
    split, start = recipe.split, recipe.starts[str(choice.chosen)]
    if start == split.start:
        return recipe
    rows = fitting.between(table, recipe, start, split.cut)
    if recipe.dataset.labels is not None:
        rows = rows.filter(rows[recipe.target].is_valid())
    bounds = split.model_copy(update={"start": start, "train_rows": rows.num_rows})
    dataset = labelled.seal(recipe.dataset, start, split.end)
    return recipe.model_copy(update={"split": bounds, "dataset": dataset})
