"""Estimated metrics of a version's predictions, by a calibration that is kept with the version."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

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
from airflow_mlops.learning.statistics import measures
from airflow_mlops.stages.performance import estimate, estimate_classes
from airflow_mlops.stages.performance.calibration import Calibration, calibrate
from airflow_mlops.stores.registry import artifacts

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.facts.performance import Measured
    from airflow_mlops.domain.facts.results import ModelRef
    from airflow_mlops.learning.labels.coding import Coding
    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.registry import Training

log = logging.getLogger(__name__)

_WEIGHTS = "weights"
_DECISION = "decision"
CALIBRATION = "monitor/calibration.json"
"""Path of a version's calibration among the artifacts of its run."""
OF_CLASSES = "monitor/calibrations.json"
"""Path of the calibration of more than two classes, in the order of the classes."""
ScoreCalibration = Calibration | estimate_classes.SoftmaxCalibration


def of(
    client: Client, ref: ModelRef, training: Training, coding: Coding, rows: pa.Table
) -> dict[str, Measured]:
    """Estimate the metrics of a version's predictions; none if there are no rows to calibrate on.

    The calibration is fitted to the version's own holdout and kept among the artifacts of its run, so that it
    stays the same, and the training data is read only once.

    :param coding: how labels are compared with the predictions.
    :param rows: columns of the predictions, and the column of weights if rows have some.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    return by(lambda: _kept(client, ref, coding) or _made(client, ref, training, coding), coding, rows)


def by(
    calibration_of: Callable[[], ScoreCalibration | None], coding: Coding, rows: pa.Table
) -> dict[str, Measured]:
    """Estimate the metrics of predictions by a calibration; none without rows, or without one.

    :param calibration_of: returns it; it is called only if there is something to estimate.
    """
    scores = coding.predictions(rows)
    finite = measures.finite(scores)
    try:
        weights = coding.weights_of(rows)
    except SchemaMismatch as error:
        # They may come with the labels.
        log.warning("performance is not estimated: %s", error)
        return {}
    scores, weights = scores[finite], None if weights is None else weights[finite]
    if weights is not None and not weights.any():
        return {}
    calibration = calibration_of()
    if calibration is None or not len(scores):
        return {}
    if isinstance(calibration, estimate_classes.SoftmaxCalibration):
        return estimate_classes.estimate(scores, calibration, rule=coding.decision, counted=weights)
    if not calibration.scores.size:
        return {}
    return estimate.estimate(scores, calibration, rule=coding.decision, counted=weights)


def _kept(client: Client, ref: ModelRef, coding: Coding) -> ScoreCalibration | None:
    import numpy as np

    path = OF_CLASSES if coding.many else CALIBRATION
    try:
        content = artifacts.read(client, ref.run_id, path)
    except ModelNotFound:
        return None
    if content is None:
        return None
    try:
        kept = json.loads(content)
        if kept.get(_WEIGHTS) != coding.weights:
            return None
        if coding.many:
            if kept.get(_DECISION) != _rule(coding).get(_DECISION):
                return None
            coefficients = np.array(kept["coefficients"], dtype=float)
            of_classes = estimate_classes.SoftmaxCalibration(coefficients, coding.decision)
            # The spec may name more classes by now.
            return of_classes if of_classes.fits(len(coding.judged)) else None
        scores, shares = (np.array(kept[name], dtype=float) for name in ("scores", "shares"))
        if scores.size and shares.shape[1:] != scores.shape:
            raise ValueError("as many shares as scores are needed")
        return Calibration(scores, shares)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # The file is copied, so a task that was killed may have left half of it; a former build wrote another form.
        log.warning("%s of run %s cannot be read and is made again: %s", path, ref.run_id, error)
        return None


def _made(client: Client, ref: ModelRef, training: Training, coding: Coding) -> ScoreCalibration | None:
    source, split = training.dataset, training.split
    try:
        rows = labelled.read(source, since=split.cut, until=split.end)
        rows, truth = pipeline.labelled(rows, coding.target, coding.task, coding.judged)
        if not rows.num_rows:
            return None
        fitted = models.load_version(client, ref)
        scores = models.predict(fitted, rows, coding.task, coding.judged)
        weights = coding.weights_of(rows, source.key)
    except (
        TableMissing,
        TableUnreadable,
        SchemaMismatch,
        ModelNotFound,
        DigestMismatch,
        UntrustedModel,
    ) as error:
        log.warning("performance cannot be estimated for version %s: %s", ref.version, error)
        return None
    by = {} if coding.weights is None else {_WEIGHTS: coding.weights}
    if coding.many:
        of_classes = estimate_classes.calibrate(truth, scores, weights=weights, rule=coding.decision)
        if of_classes is not None:
            content = {"coefficients": of_classes.coefficients.tolist()}
            artifacts.write_json(client, ref.run_id, OF_CLASSES, {**content, **by, **_rule(coding)})
        return of_classes
    calibration = calibrate(truth, scores, weights=weights)
    content = {"scores": calibration.scores.tolist(), "shares": calibration.shares.tolist()}
    artifacts.write_json(client, ref.run_id, CALIBRATION, {**content, **by})
    return calibration


def _rule(coding: Coding) -> dict[str, object]:
    """Return what a calibration of many classes depends on beside the rows, unless it is the usual decision."""
    rule = coding.decision
    return (
        {}
        if rule.usual
        else {_DECISION: rule.model_dump(mode="json", include={"threshold", "places", "matrix"})}
    )
