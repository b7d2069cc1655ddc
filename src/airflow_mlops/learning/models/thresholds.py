"""The decision of a classifier: kept within the fitted pipeline, whose own classes follow it too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.learning.models import classes
from airflow_mlops.learning.models.least_cost import LeastCost

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.spec.costs import CostMatrix, Costs

_THRESHOLD = "mlops_threshold_"


def keep(fitted: Pipeline, rule: DecisionRule) -> None:
    """Keep a decision within a pipeline, so that its digest covers it, and let ``predict`` follow it.

    The estimator is put into scikit-learn's ``FixedThresholdClassifier`` as it is, of more than two classes into a
    :class:`LeastCost`; what ``predict_proba`` returns stays the same.
    """
    from sklearn.frozen import FrozenEstimator
    from sklearn.model_selection import FixedThresholdClassifier

    name, estimator = fitted.steps[-1]
    if rule.matrix is not None:
        fitted.steps[-1] = (name, LeastCost(estimator, rule.matrix))
        return
    cut = FixedThresholdClassifier(
        FrozenEstimator(estimator), threshold=rule.threshold, pos_label=1, response_method="predict_proba"
    )
    # A frozen estimator learns nothing of these rows.
    fitted.steps[-1] = (name, cut.fit([[0], [1]], [0, 1]))
    setattr(fitted, _THRESHOLD, rule.threshold)


def forget(fitted: Pipeline) -> None:
    """Take the decision that :func:`keep` put into a pipeline out of it."""
    fitted.steps[-1] = (fitted.steps[-1][0], estimator_of(fitted))
    if hasattr(fitted, _THRESHOLD):
        delattr(fitted, _THRESHOLD)


def estimator_of(fitted: Pipeline) -> BaseEstimator:
    """Return the estimator of a fitted pipeline, whether it keeps a threshold or not."""
    last = fitted[-1]
    if isinstance(last, LeastCost):
        return last.estimator
    return last.estimator.estimator if hasattr(fitted, _THRESHOLD) else last


def of(fitted: Pipeline, judged: Sequence[str] = (), costs: Costs | CostMatrix | None = None) -> DecisionRule:
    """Return the decision that a fitted pipeline keeps.

    :param judged: the order of the probabilities; none for the pipeline's own classes.
    :param costs: what metrics are to count mistakes by.
    """
    threshold = getattr(fitted, _THRESHOLD, HALF.threshold)
    own, seen = classes.of(fitted)
    rule = DecisionRule(threshold=threshold, costs=costs)
    if isinstance(fitted[-1], LeastCost):
        rule = rule.model_copy(update={"matrix": fitted[-1].costs, "places": seen})
    return rule.among(own, judged or own)
