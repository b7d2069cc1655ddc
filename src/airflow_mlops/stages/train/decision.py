"""The decision of a candidate: its threshold, chosen on rows that its model was not fitted to and that do not judge it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.facts.recipe import LEAST_OF_A_CLASS
from airflow_mlops.domain.metrics import of_decisions
from airflow_mlops.domain.spec.costs import ClassCosts, Costs
from airflow_mlops.domain.spec.decision import BY_CLASS
from airflow_mlops.exceptions import NotEnoughData, SchemaMismatch
from airflow_mlops.learning.statistics import decisions
from airflow_mlops.stages.train import folds

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.domain.facts.recipe import Recipe
    from airflow_mlops.domain.spec.decision import Decision
    from airflow_mlops.stages.train.fitting import Data

log = logging.getLogger(__name__)


def choose(
    recipe: Recipe, data: Data, later: Callable[[Data, Data], np.ndarray]
) -> tuple[DecisionRule | None, str]:
    """Return the decision of a candidate, None if its recipe asks for none, and what a person should know of it.

    The threshold is chosen on the validation rows of the recipe's folds, the latest fifths before the holdout, each predicted
    by a model that was fitted to the rows before. With fewer than ten rows of either class, costs decide by what they
    imply.

    :param later: takes rows to fit to and rows after them, and returns the predictions of the latter.
    :raises SchemaMismatch: if there are not two classes.
    :raises NotEnoughData: if the threshold is to be chosen by a metric, and there are too few rows of a class.
    """
    import numpy as np

    decision = recipe.decision
    if decision is None:
        return None, ""
    if isinstance(decision.costs, ClassCosts):
        return _least_cost(recipe, data, decision.costs), ""
    if len(data.classes) != len(BINARY):
        raise SchemaMismatch(
            f"decision is for two classes, and {recipe.target!r} has {len(data.classes)}: {', '.join(data.classes[:5])}, …; of "
            f"more than two the most probable one is chosen. Leave decision out, or {BY_CLASS}."
        )
    if decision.threshold is not None:
        return DecisionRule(threshold=decision.threshold, reason="set by the spec"), ""
    try:
        spans = folds.folds(data, recipe.folds, recipe.task)
    except NotEnoughData as error:
        return _on_no_rows(decision, data, str(error).rstrip("."))
    parts = [(data.between(0, fold.cut), folds.validated(data, fold)) for fold in spans]
    truth = np.concatenate([after.labels for _, after in parts])
    positives, rows = int(truth.sum()), f"{truth.size:,} rows from {_day(parts[0][1].times[0])} on"
    if min(positives, truth.size - positives) < LEAST_OF_A_CLASS:
        why = f"of the {rows}, which the model is not fitted to, {positives:,} are {data.classes[1]}"
        return _on_no_rows(decision, data, why)
    scores = np.concatenate([later(before, after) for before, after in parts])
    weights = None if data.weights is None else np.concatenate([after.weights for _, after in parts])
    cut = decisions.best(truth, scores, decision, weights)
    aim = "least cost" if decision.costs else f"best {decision.metric}"
    reason = f"{aim}, {cut.value:.4g}, on {rows}, of which {positives:,} are {data.classes[1]}"
    rule = DecisionRule(threshold=cut.threshold, reason=reason, positive=cut.positive)
    return rule.counting(_of_two(decision)), ""


def _least_cost(recipe: Recipe, data: Data, costs: ClassCosts) -> DecisionRule:
    """Return the decision that weighs costs by the probabilities of a model that is fitted to the rows; it needs no rows apart.

    Weights of classes multiply the odds of a class, and so its costs are divided by them: Elkan, as above, on changed base rates.
    """
    import numpy as np

    if problems := [*costs.problems(data.classes)]:
        place, why = problems[0]
        where = ".".join(("decision", "costs", *map(str, place)))
        raise SchemaMismatch(
            f"{where}: {why}. The classes of {recipe.target!r} in the training rows are {', '.join(data.classes[:10])}; classes can "
            "name others."
        )
    counted, seen = costs.among(data.classes), np.unique(data.labels)
    rows, fitted = data.weights, data.sample_weights()
    matrix = []
    for true in seen:
        there = data.labels == true
        weight = float(there.sum() if rows is None else rows[there].sum())
        weighed = weight if fitted is None else float(fitted[there].sum())
        share = weight / weighed if weight > 0 and weighed > 0 else 1.0
        matrix.append(tuple(float(counted.rows[true][chosen] or 0) * share for chosen in seen))
    return DecisionRule(
        costs=counted,
        matrix=tuple(matrix),
        places=tuple(int(code) for code in seen),
        reason="by least expected cost",
    )


def _on_no_rows(decision: Decision, data: Data, why: str) -> tuple[DecisionRule, str]:
    """Return the decision that costs imply, and a remark; no metric chooses a threshold without rows.

    :param why: why there are too few rows to choose a threshold on.
    """
    costs = _of_two(decision)
    if costs is None:
        raise NotEnoughData(
            f"{why}; {LEAST_OF_A_CLASS} of either class are needed to choose a threshold by {decision.metric} (decision.metric), and "
            "both among the rows before them. Raise train.folds or train.window, or write decision: {threshold: …}."
        )
    remark = f"{why}, too few to choose a threshold on: it is the one that costs imply"
    log.warning("%s.", remark)
    rule = DecisionRule(threshold=_implied(costs, data), reason="implied by the costs")
    return rule.counting(costs), remark


def _of_two(decision: Decision) -> Costs | None:
    return decision.costs if isinstance(decision.costs, Costs) else None


def _implied(costs: Costs, data: Data) -> float:
    """Return the threshold that costs imply for probabilities of a model that is fitted to the rows.

    Weights of classes multiply the odds of the second class by their ratio, and so those of the threshold: Elkan, The
    Foundations of Cost-Sensitive Learning (2001), on changed base rates.
    """
    import numpy as np

    fitted = data.sample_weights()
    if data.class_weight is None or fitted is None:
        return costs.threshold
    rows = np.ones(fitted.size) if data.weights is None else data.weights
    first, second = (
        fitted[data.labels == code].sum() / max(rows[data.labels == code].sum(), np.finfo(float).tiny)
        for code in (0, 1)
    )
    positive, negative = costs.false_negative * float(first), costs.false_positive * float(second)
    return negative / (positive + negative) if positive + negative else costs.threshold


def suiting(recipe: Recipe, data: Data, predicted: np.ndarray, fitted: Data) -> DecisionRule:
    """Return the decision by which a candidate is ranked on validation rows: at the threshold that suits them best.

    Candidates are ranked alike so, each a little too well; the holdout, which chooses nothing, judges the best one.

    :param data: the validation rows.
    :param predicted: predictions of a model that was not fitted to these rows.
    :param fitted: the rows that it was fitted to.
    """
    decision = recipe.decision
    if decision is None or not data.labels.size or not of_decisions(recipe.metric):
        return HALF
    if isinstance(decision.costs, ClassCosts) and predicted.ndim > 1:
        return _least_cost(recipe, fitted, decision.costs)
    if predicted.ndim > 1:
        return HALF
    if decision.threshold is not None:
        return DecisionRule(threshold=decision.threshold)
    cut = decisions.best(data.labels, predicted, decision, data.weights)
    return DecisionRule(threshold=cut.threshold).counting(_of_two(decision))


def _day(time: np.datetime64) -> str:
    return str(time.astype("datetime64[D]"))
