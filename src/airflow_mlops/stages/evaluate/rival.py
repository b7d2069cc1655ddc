"""The champion on the rows that a candidate is judged on: its predictions, or why the two cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops.domain.classes import BINARY, union
from airflow_mlops.domain.facts.decision import HALF, DecisionRule
from airflow_mlops.domain.facts.results import ModelRef, Split, TrainedModel
from airflow_mlops.exceptions import SchemaMismatch, TransformFailed
from airflow_mlops.learning.models import classes as label_classes
from airflow_mlops.learning.models import intervals, models, pipeline, thresholds, transform
from airflow_mlops.learning.statistics import coverage, measures
from airflow_mlops.stages.evaluate import leakage
from airflow_mlops.stores.registry import registry

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.learning.statistics.slices import Judged
    from airflow_mlops.stores.registry.client import Client

_WHAT_NOW = "let a person promote by approval.override, or set versus_champion: null once"


@dataclass(frozen=True)
class Rival:
    """The champion that a candidate is compared with.

    :param predicted: one finite prediction for each row; None if the champion cannot predict them.
    :param classes: the classes that it tells apart; none for a regression.
    :param problem: why the two cannot be compared, and what to do; "" if they can be.
    :param bounds: low and high bound of each prediction; None if it has none.
    :param rule: from which probability on it calls a row positive, with the costs of the candidate.
    :param split: the rows that it has learned from; None if it cannot predict.
    """

    ref: ModelRef
    predicted: np.ndarray | None
    problem: str = ""
    classes: tuple[str, ...] = ()
    bounds: intervals.Bounds | None = None
    rule: DecisionRule = HALF
    split: Split | None = None

    def metrics(self, judged: Judged, task: str, more: Sequence[str]) -> dict[str, float | None]:
        """Return its metrics on the rows, and the measures of its bounds; none if it cannot predict them.

        :param judged: the rows, with their labels and weights.
        :param more: metrics that are measured besides the standard ones.
        """
        if self.predicted is None:
            return {}
        metrics = measures.metrics(
            judged.truth, self.predicted, task, more, rule=self.rule, weights=judged.weights
        )
        return metrics | (coverage.values(judged.truth, *self.bounds) if self.bounds else {})


def classes_of(
    client: Client, candidate: TrainedModel, champion: ModelRef | None, holdout: pa.Table
) -> tuple[str, ...]:
    """Return the classes that a holdout is judged by: those of the candidate, then what only the champion tells apart.

    Labels of the holdout that neither knows are classes too, but beside 0 and 1 they are errors: what a candidate predicts of such
    a row is wrong.

    :return: none for a regression.
    :raises ModelNotFound: if the champion does not say what it was trained on; also DigestMismatch.
    """
    if candidate.task != "classification":
        return ()
    own = candidate.classes or BINARY
    if champion:
        own = union(own, registry.training(client, champion).classes)
    if own == BINARY:
        return own
    _, labels = pipeline.labels(holdout, candidate.target, candidate.task)
    return union(own, label_classes.in_order(labels, candidate.target) if labels.size else ())


def predict(
    client: Client,
    ref: ModelRef,
    candidate: TrainedModel,
    rows: pa.Table,
    seen: pa.Table,
    classes: Sequence[str] = (),
) -> Rival:
    """Let the champion predict the holdout of a candidate.

    A champion of another target or with other features is still the champion: the candidate is not judged as if there
    were none.

    :param seen: key and event time of the rows before the holdout.
    :param classes: the order of the probabilities; see :func:`classes_of`.
    :raises ModelNotFound: if the version, its run or its file is gone, or if its training is not recorded.
    :raises DigestMismatch: if its bytes are not those that were trained; also UntrustedModel.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    import numpy as np

    model = models.load_version(client, ref)
    trained = registry.training(client, ref)
    if problem := _other_question(client, ref, candidate):
        return Rival(ref, None, f"{problem}; {_WHAT_NOW}", trained.classes)
    try:
        frame = pipeline.frame(rows, pipeline.features_of(model))
        predicted, bounds = intervals.predict(model, frame, candidate.task, classes)
    except SchemaMismatch as error:
        problem = f"version {ref.version} cannot predict these rows: {error} {_hint()}"
        return Rival(ref, None, problem, trained.classes)
    if not_finite := int(np.sum(~measures.finite(predicted))):
        problem = f"version {ref.version} predicts no finite number for {not_finite:,} of {rows.num_rows:,} rows; {_WHAT_NOW}"
        return Rival(ref, None, problem, trained.classes)
    span = trained.split
    if trained.until is not None:
        span = span.model_copy(update={"cut": min(span.cut, trained.until)})
    learned = leakage.learned_from(rows, seen, candidate.dataset, span)
    problem = (
        f"version {ref.version} has learned from {learned:,} of the {rows.num_rows:,} rows, so they say nothing about which "
        "is better: judge on later rows"
    )
    rule = thresholds.of(model, classes, candidate.decision.costs if candidate.decision else None)
    return Rival(ref, predicted, problem if learned else "", trained.classes, bounds, rule, span)


def _hint() -> str:
    return f"To go on, {_WHAT_NOW}"


def _other_question(client: Client, ref: ModelRef, candidate: TrainedModel) -> str:
    tags = registry.short_tags(client, ref)
    for name, mine in (("target", candidate.target), ("task", candidate.task)):
        theirs = tags.get(f"mlops.{name}", mine)
        if theirs != mine:
            return f"the {name} of version {ref.version} is {theirs}, that of the candidate {mine}"
    try:
        transform.check_scoring(client, candidate.dataset, ref)
    except TransformFailed as error:
        return str(error).rstrip(".")
    return ""
