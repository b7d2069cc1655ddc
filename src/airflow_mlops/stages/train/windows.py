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
from airflow_mlops.learning.labels import labelled
from airflow_mlops.stages.train import fitting, folds, measuring
from airflow_mlops.stages.train.split import at

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.facts.recipe import Recipe

log = logging.getLogger(__name__)


def choose(recipe: Recipe, data: fitting.Data, params: Mapping[str, Any]) -> WindowChoice:
    """Return the window whose rows before the newest training partition predict that partition best.

    That is one step ahead, as the model will be used (Dawid, Statistical Theory: The Prequential Approach, 1984): a window
    that begins after a jump of the relation shows itself two partitions later, while the latest fifth of all rows still is
    of the time before. Of equals the longest wins, and so it does where nothing can be measured. A window is no choice if it
    has fewer than 50 rows before that partition, or fewer than 10 of a class that the longest one has.

    :param data: the training rows of the longest window. Those that bounds are calibrated on later are among them: one of a
        few windows is chosen by them, and nothing is fitted to them.
    :param params: the parameters that the search has chosen.
    """
    import numpy as np

    newest = Partition.containing(recipe.split.cut - timedelta(microseconds=1), recipe.dataset.grain)
    scores: dict[str, float | None] = dict.fromkeys(recipe.starts)
    first = int(np.searchsorted(data.times, at(newest.start)))
    later = folds.validated(data, folds.Fold(first, data.times.size))
    if len(scores) > 1 and later.labels.size:
        for name, start in recipe.starts.items():
            before = data.between(int(np.searchsorted(data.times, at(start))), first)
            if _suffices(before, data.between(0, first), recipe):
                scores[name] = _score(recipe, before, later, params, f"of the window {name}")
    best = _best(scores, recipe.metric)
    return WindowChoice(
        chosen="all" if best == "all" else int(best), partition=newest.key, scores=dict(scores)
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


def _score(
    recipe: Recipe, before: fitting.Data, later: fitting.Data, params: Mapping[str, Any], which: str
) -> float | None:
    name = f"{fitting.name_of(recipe, params)}, {which}"
    try:
        unfitted = fitting.build(recipe, params, fitting.categories(recipe, before), len(before.classes))
        what = f"Fitting {name} to {before.labels.size:,} rows"
        with threads.remarks(), threads.bounded(threads.per_fit()):
            return threads.waited(
                lambda: measuring.later_rows(unfitted, before, later, recipe, name, threads.per_fit()), what
            )
    except (TrainingFailed, NotEnoughData, ValueError) as error:
        log.warning("%s cannot be measured, and is not chosen: %s", name, error)
        return None


def _best(scores: Mapping[str, float | None], metric: str) -> str:
    sign = 1 if metric_of(metric).greater_is_better else -1
    best, *_ = scores
    for name, score in scores.items():
        highest = scores[best]
        if score is not None and (highest is None or sign * score > sign * highest):
            best = name
    return best


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
