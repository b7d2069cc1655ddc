"""Recalibration: a candidate that keeps the champion's model, and refits its probabilities on labels that came later."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.facts.decision import DecisionRule
from airflow_mlops.domain.facts.recipe import LEAST_OF_A_CLASS, LEAST_ROWS, Recipe
from airflow_mlops.domain.facts.results import ModelRef
from airflow_mlops.domain.spec.costs import Costs
from airflow_mlops.exceptions import ModelNotFound, NotEnoughData, TrainingFailed
from airflow_mlops.learning.labels import labelled, weights
from airflow_mlops.learning.models import classes, models, pipeline, thresholds
from airflow_mlops.learning.models.recalibrated import Recalibrated, curve, curved
from airflow_mlops.stages.train import fitting, jobs
from airflow_mlops.stages.train.chosen import Chosen
from airflow_mlops.stores import damage
from airflow_mlops.stores.registry import registry

if TYPE_CHECKING:
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

    from airflow_mlops.stores.registry.client import Client

log = logging.getLogger(__name__)

_CELLS = 20_000_000
"""Rows times squared classes that a recalibration is fitted to at most: the latest ones."""


def recipe_of(client: Client, champion: ModelRef, ours: Recipe) -> Recipe:
    """Return the recipe of a recalibrated champion.

    Its rows begin with those that the champion has learned from, and its probabilities are refitted to those after them.

    :param ours: a recipe of the training that asks for it, of any candidate.
    :raises TrainingFailed: if the champion was not trained here, or for something else.
    :raises ModelNotFound: if it is gone.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    whose = f"Version {champion.version} cannot be recalibrated"
    text = None if champion.is_external else _tags(client, champion).get(jobs.RECIPE)
    if text is None:
        raise TrainingFailed(f"{whose}: it was not trained here by a recipe.")
    with damage.errors(f"The recipe of version {champion.version}", ModelNotFound):
        theirs = Recipe.model_validate_json(text)
    for name in ("task", "target", "weights"):
        if getattr(theirs, name) != getattr(ours, name):
            raise TrainingFailed(f"{whose}: the spec has another {name} than it was trained with.")
    start = min(theirs.split.start, ours.split.start)
    if theirs.split.cut >= ours.split.cut:
        raise TrainingFailed(f"{whose}: no label has come that it has not learned from.")
    names = [ours.dataset.event_time, *([ours.target] if ours.dataset.labels else [])]
    rows = labelled.read(ours.dataset, columns=names, since=start, until=ours.split.cut)
    if ours.dataset.labels:
        rows = rows.filter(rows[ours.target].is_valid())
    candidate = theirs.candidate.model_copy(
        update={"name": f"recalibration of version {champion.version}", "search": {}}
    )
    return ours.model_copy(
        update={
            "candidate": candidate,
            "features": theirs.features,
            "dataset": labelled.seal(ours.dataset, start, ours.split.end),
            "split": ours.split.model_copy(update={"start": start, "train_rows": rows.num_rows}),
            "fresh_from": theirs.split.cut,
            "keeps": champion.model_copy(update={"trained_through": None}),
            "ranked": False,
            "starts": {},
        }
    )


def choose(client: Client, recipe: Recipe, table: pa.Table) -> Chosen:
    """Load the champion of a recipe and refit its probabilities.

    :param table: rows of at least the features, target, key and event time.
    :raises NotEnoughData: if too few rows, or too few of a class, are later than those that the champion has learned from.
    :raises DigestMismatch: if its bytes are not those that were trained; also ModelNotFound, UntrustedModel.
    """
    champion = recipe.keeps
    assert champion is not None
    fitted, data, names = _refitted(client, recipe, table)
    facts = jobs.trained_facts(_tags(client, champion))
    rule = _rule(fitted, recipe, facts, champion)
    if rule is not None:
        thresholds.keep(fitted, rule)
    wrapped = thresholds.estimator_of(fitted)
    biases = ", ".join(f"{bias:.3g}" for bias in wrapped.biases[1:])
    remark = (
        f"The model of version {champion.version} is kept: its probabilities were refitted on {data.labels.size:,} later rows, with slope "
        f"{wrapped.slope:.3g} and bias {biases}"
    )
    log.info("%s.", remark)
    params = dict(facts.get("params", {}))
    return Chosen(recipe, data, fitted, params, None, None, 1, False, (remark,), names, rule, None)


def fit(client: Client, recipe: Recipe, table: pa.Table) -> Pipeline:
    """Return the recalibrated champion of a recipe, as :func:`choose` fits it."""
    return choose(client, recipe, table).model


def _tags(client: Client, champion: ModelRef) -> Mapping[str, str]:
    return registry.tags(client, registry.get(client, champion.model, champion.version))


def _refitted(
    client: Client, recipe: Recipe, table: pa.Table
) -> tuple[Pipeline, fitting.Data, tuple[str, ...]]:
    import numpy as np
    import pyarrow as pa

    champion, since = recipe.keeps, recipe.fresh_from
    assert champion is not None
    assert since is not None
    fitted = models.load_version(client, champion)
    names, seen = classes.of(fitted)
    rows = fitting.between(table, recipe, since, recipe.split.cut)
    rows, codes = pipeline.labelled(rows, recipe.target, recipe.task, names)
    places = np.full(len(names) + 1, -1)  # the last is that of labels that are none of the classes
    places[list(seen)] = np.arange(len(seen))
    labels = places[codes.astype(int)]
    rows, labels = rows.filter(pa.array(labels >= 0)), labels[labels >= 0]
    counts = np.bincount(labels, minlength=len(seen))
    if labels.size < LEAST_ROWS or counts.min() < LEAST_OF_A_CLASS:
        raise NotEnoughData(
            f"Version {champion.version} cannot be recalibrated: {labels.size:,} rows with labels are later than those that it has learned "
            f"from, of its rarest class {counts.min():,}; {LEAST_ROWS} are needed, {LEAST_OF_A_CLASS} of each class."
        )
    # The latest rows, as many as the fit of so many classes can hold in memory.
    latest = slice(max(0, labels.size - _CELLS // len(seen) ** 2), None)
    rows, labels = rows.slice(latest.start), labels[latest]
    data = fitting.Data(
        frame=pipeline.frame(rows, recipe.features),
        labels=labels,
        times=rows[recipe.dataset.event_time].to_numpy(),
        classes=names,
        weights=weights.of(rows, recipe.weights, recipe.dataset.key, some=True),
    )
    _wrap(fitted, data)
    return fitted, data, names


def _wrap(fitted: Pipeline, data: fitting.Data) -> None:
    """Put the recalibration around a pipeline's estimator, in place of a former one and of its decision."""
    estimator = thresholds.estimator_of(fitted)
    if isinstance(estimator, Recalibrated):
        estimator = estimator.estimator
    name = fitted.steps[-1][0]
    thresholds.forget(fitted)
    fitted.steps[-1] = (name, estimator)
    slope, biases = curve(fitted.predict_proba(data.frame), data.labels, data.weights)
    if slope <= 0:
        raise TrainingFailed(
            f"Its probabilities rank later rows the wrong way round (slope {slope:.3g}): to refit them does not mend that."
        )
    fitted.steps[-1] = (name, Recalibrated(estimator, slope, biases))


def _rule(
    fitted: Pipeline, recipe: Recipe, facts: Mapping[str, Any], champion: ModelRef
) -> DecisionRule | None:
    """Return the decision of the champion, for its new probabilities.

    Costs imply the same threshold of any probabilities that mean what they say; one that a metric chose goes where the same
    rows are above it.
    """
    if not (kept := facts.get("decision")):
        return None
    rule, decision = DecisionRule.from_dict(kept), recipe.decision
    if rule.matrix is not None or (decision is not None and decision.threshold is not None):
        return rule
    if decision is not None and isinstance(decision.costs, Costs):
        return rule.model_copy(
            update={"threshold": decision.costs.threshold, "reason": "implied by the costs", "positive": None}
        )
    import numpy as np

    wrapped = thresholds.estimator_of(fitted)
    moved = curved(np.array([[1 - rule.threshold, rule.threshold]]), wrapped.slope, wrapped.biases)[0, 1]
    reason = f"where that of version {champion.version} went"
    return rule.model_copy(update={"threshold": float(moved), "reason": reason, "positive": None})
