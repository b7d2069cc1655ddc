"""The model of a candidate: its parameters searched, its decision and its window chosen, and fitted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.exceptions import NotEnoughData, TrainingFailed
from airflow_mlops.learning import threads
from airflow_mlops.learning.models import thresholds
from airflow_mlops.stages.train import conformal, decision, fitting, jobs, trials, tune, windows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.facts.decision import DecisionRule
    from airflow_mlops.domain.facts.recipe import Recipe
    from airflow_mlops.domain.facts.windows import WindowChoice

log = logging.getLogger(__name__)


class Chosen(NamedTuple):
    """The fitted model of a training, and how it was chosen.

    :param recipe: the recipe with the rows that it was fitted to.
    :param data: these rows.
    :param score: inner score; None if the candidate was not ranked.
    :param latest: inner score on the latest fold; None if there is none, another decision was made in it, or other rows were
        before it.
    :param cut: whether the budget's seconds ended the search.
    :param classes: in the order of the probabilities; none for a regression.
    :param decision: from which probability on it calls a row positive; None if the recipe says nothing.
    :param window: which of several windows the rows are; None if there is one only.
    """

    recipe: Recipe
    data: fitting.Data
    model: Pipeline
    params: dict[str, Any]
    score: float | None
    latest: float | None
    trials: int
    cut: bool
    remarks: tuple[str, ...]
    classes: tuple[str, ...]
    decision: DecisionRule | None
    window: WindowChoice | None


def waited(
    recipe: Recipe, data: fitting.Data, held: fitting.Data | None, params: Mapping[str, Any]
) -> tuple[Pipeline, DecisionRule | None, str]:
    """Choose a decision, fit to some rows, and calibrate bounds on others if there are any.

    :return: the fitted pipeline, its decision, and what a person should know of the decision.
    """
    name = fitting.name_of(recipe, params)
    with threads.bounded(threads.per_fit()):
        what = f"Fitting {name} to {data.labels.size:,} rows"
        fitted, rule, remark = threads.waited(lambda: _decided(recipe, data, params, name), what)
        if held is not None:
            rows = held
            what = f"Calibrating its bounds on {rows.labels.size:,} rows"
            threads.waited(lambda: conformal.calibrate(fitted, recipe, params, data, rows), what)
    return fitted, rule, remark


def _decided(
    recipe: Recipe, data: fitting.Data, params: Mapping[str, Any], name: str
) -> tuple[Pipeline, DecisionRule | None, str]:
    def later(before: fitting.Data, after: fitting.Data) -> np.ndarray:
        counted = fitting.categories(recipe, data), len(data.classes)
        fitted = fitting.fit(fitting.build(recipe, params, *counted), before, threads.per_fit(), name)
        return fitting.predicted(fitted, after, recipe.task, name)

    rule, remark = decision.choose(recipe, data, later)
    fitted = refit(recipe, data, params)
    if rule is not None:
        thresholds.keep(fitted, rule)
    return fitted, rule, remark


def refit(recipe: Recipe, data: fitting.Data, params: Mapping[str, Any]) -> Pipeline:
    """Fit a candidate with chosen parameters to some rows, with no decision and no bounds."""
    unfitted = fitting.build(recipe, params, fitting.categories(recipe, data), len(data.classes))
    return fitting.fit(unfitted, data, threads.per_fit(), fitting.name_of(recipe, params))


def choose(
    job: jobs.Job, table: pa.Table, everything: fitting.Data, store: trials.Store, dask: str | None
) -> Chosen:
    """Search for the parameters of a job's candidate, choose its window if there are several, and fit it.

    :param table: rows of at least the features, target, key and event time.
    :param everything: those that the recipe trains on.
    :param store: records the trials.
    :param dask: address of a Dask scheduler that trials are fitted on; None fits them here.
    """
    recipe, space = job.recipe, job.recipe.candidate.space
    outcome = tune.SearchOutcome({}, None, 1)
    if recipe.ranked or space:
        searched, _ = conformal.parts(everything, recipe.intervals)
        outcome = tune.search(recipe, searched, store if space else None, dask)
    if not recipe.starts:
        return _fitted(recipe, everything, outcome)
    window = windows.choose(recipe, everything, outcome.params)
    narrowed = windows.narrowed(recipe, table, window)
    if narrowed is recipe:
        return _fitted(recipe, everything, outcome)._replace(window=window)
    try:
        fitted = _fitted(narrowed, fitting.data(table, narrowed), outcome)
    except (NotEnoughData, TrainingFailed) as error:
        remark = (
            f"The window {window.chosen} was best and could not be fitted, so that the longest was: {error}"
        )
        log.warning("%s: %s", recipe.candidate.name, remark)
        fitted = _fitted(recipe, everything, outcome)
        return fitted._replace(window=windows.longest(recipe, window), remarks=(*fitted.remarks, remark))
    return fitted._replace(window=window, latest=None)


def _fitted(recipe: Recipe, everything: fitting.Data, outcome: tune.SearchOutcome) -> Chosen:
    data, held = conformal.parts(everything, recipe.intervals)
    with threads.remarks() as remarks:
        model, rule, doubt = waited(recipe, data, held, outcome.params)
    for remark in remarks:
        log.warning("%s: %s", recipe.candidate.name, remark)
    return Chosen(
        recipe,
        data,
        model,
        outcome.params,
        outcome.score,
        # A decision that the search has made for itself is not the one that the curve is drawn by.
        outcome.latest if rule is None else None,
        outcome.trials,
        outcome.cut,
        (*data.remarks, *outcome.remarks, *remarks, *([doubt] if doubt else [])),
        data.classes if recipe.task == "classification" else (),
        rule,
        None,
    )
