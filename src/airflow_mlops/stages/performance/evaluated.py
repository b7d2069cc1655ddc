"""A version's own evaluation with standard errors, which are kept with the version: what it was, and how sure that is."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops.exceptions import (
    DigestMismatch,
    ModelNotFound,
    SchemaMismatch,
    TableMissing,
    TableUnreadable,
    UntrustedModel,
)
from airflow_mlops.learning.labels import labelled
from airflow_mlops.learning.models import models, pipeline
from airflow_mlops.learning.statistics import jackknife, recalibration, resampling
from airflow_mlops.learning.statistics.resampling import Estimate
from airflow_mlops.learning.statistics.statistic import statistic
from airflow_mlops.stores.registry import artifacts

if TYPE_CHECKING:
    import numpy as np

    from airflow_mlops.domain.facts.results import ModelRef
    from airflow_mlops.learning.labels.coding import Coding
    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.registry import Training

log = logging.getLogger(__name__)

EVALUATION = "monitor/evaluation.json"
"""Path of a version's evaluation with errors among the artifacts of its run."""
GAIN = "recalibration"
"""What a recalibration would gain, among the metrics that are evaluated."""
_UNREADABLE = (TableMissing, TableUnreadable, SchemaMismatch, ModelNotFound, DigestMismatch, UntrustedModel)


def of(
    client: Client, ref: ModelRef, training: Training, coding: Coding, metrics: Sequence[str]
) -> dict[str, Estimate]:
    """Measure metrics of a version on its own holdout, with standard errors; none if it has no holdout that can be read.

    They are kept among the artifacts of the version's run, so that the holdout is read and predicted only once.

    :param coding: how labels are compared with the predictions.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    basis = _basis(coding, metrics)
    kept = _kept(client, ref, basis)
    if kept is None:
        kept = _made(client, ref, training, coding, metrics)
        content = {name: [part.value, part.error, part.freedom] for name, part in kept.items()}
        if kept:
            artifacts.write_json(client, ref.run_id, EVALUATION, {**basis, "metrics": content})
    return kept


def estimates(
    truth: np.ndarray,
    predicted: np.ndarray,
    times: np.ndarray,
    grain: str,
    coding: Coding,
    metrics: Sequence[str],
    weights: np.ndarray | None,
) -> dict[str, Estimate]:
    """Measure metrics, and :data:`GAIN`, with standard errors, by the jackknife over blocks of time.

    :param times: event time of each row.
    :param grain: length of a partition; a block is one step below.
    """
    blocks = jackknife.grouped(resampling.blocks(times, "auto", grain))
    rule, measured = coding.decision, {}
    for name in metrics:
        if name == GAIN:
            measured[name] = recalibration.gain(truth, predicted, blocks, weights)
        else:
            one = statistic(name, truth, predicted, blocks, rule, weights)
            measured[name] = jackknife.measured(one, blocks)
    return measured


def _basis(coding: Coding, metrics: Sequence[str]) -> dict[str, Any]:
    """Return what an evaluation depends on beside the version."""
    return {
        "names": [*metrics],
        "classes": [*coding.judged],
        "weights": coding.weights,
        "decision": coding.decision.model_dump(mode="json"),
    }


def _kept(client: Client, ref: ModelRef, basis: dict[str, Any]) -> dict[str, Estimate] | None:
    try:
        content = artifacts.read(client, ref.run_id, EVALUATION)
    except ModelNotFound:
        return None
    if content is None:
        return None
    try:
        kept = json.loads(content)
        measured = kept.pop("metrics")
        return {name: Estimate(*parts) for name, parts in measured.items()} if kept == basis else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # The file is copied, so a task that was killed may have left half of it.
        log.warning("%s of run %s cannot be read and is made again: %s", EVALUATION, ref.run_id, error)
        return None


def _made(
    client: Client, ref: ModelRef, training: Training, coding: Coding, metrics: Sequence[str]
) -> dict[str, Estimate]:
    source, split = training.dataset, training.split
    since = split.cut if training.until is None else max(split.cut, training.until)
    try:
        rows = labelled.read(source, since=since, until=split.end)
        rows, truth = pipeline.labelled(rows, coding.target, coding.task, coding.judged)
        if not rows.num_rows:
            return {}
        predicted = models.predict(models.load_version(client, ref), rows, coding.task, coding.judged)
        weights = coding.weights_of(rows, source.key)
    except _UNREADABLE as error:
        log.warning("the holdout of version %s cannot be evaluated again: %s", ref.version, error)
        return {}
    times = rows[source.event_time].cast("timestamp[us]").to_numpy()
    return estimates(truth, predicted, times, source.grain, coding, metrics, weights)
