"""Evaluate: judge the best candidate on the holdout, beside the champion and gate by gate."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.recipe import LEAST_ROWS
from airflow_mlops.domain.facts.results import DatasetVersion, Evaluation, ModelRef, Split, TrainedModel
from airflow_mlops.domain.metrics import METRICS, names
from airflow_mlops.domain.policies import gates_data, gates_parts, monitoring
from airflow_mlops.domain.policies.gates import (
    Comparison,
    Interval,
    calibration,
    floor,
    nothing_new,
    versus_champion,
)
from airflow_mlops.domain.spec.model import VersusChampion
from airflow_mlops.exceptions import NotEnoughData, TrainingFailed
from airflow_mlops.learning.bless import process
from airflow_mlops.learning.bless.check import serving_checks
from airflow_mlops.learning.bless.sample import fetch
from airflow_mlops.learning.labels import labelled
from airflow_mlops.learning.models import models, pipeline
from airflow_mlops.learning.pictures.pictures import log as draw
from airflow_mlops.learning.statistics import measures as performance
from airflow_mlops.learning.statistics import paired, resampling, slices
from airflow_mlops.learning.statistics.slices import Judged
from airflow_mlops.learning.statistics.statistic import statistic
from airflow_mlops.stages.evaluate import leakage
from airflow_mlops.stages.evaluate.rival import Rival, predict
from airflow_mlops.stores.registry import artifacts, registry, tracking

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.spec.model import Gates
    from airflow_mlops.learning.statistics.resampling import Blocks
    from airflow_mlops.stores.registry.client import Client

log = logging.getLogger(__name__)

_REQUIREMENTS = "requirements.txt"
_FILE = "evaluation.json"
_VERDICT = "mlops.verdict"


@dataclass(frozen=True)
class _Found:
    """What was measured of the candidate.

    :param metrics: by name; None where one is undefined.
    :param intervals: of the metrics that have one.
    :param checks: gate by gate.
    :param small: slices and groups that are too small to be judged, in words.
    """

    metrics: dict[str, float | None]
    intervals: dict[str, Interval]
    checks: list[Check]
    small: str = ""


def evaluate(
    holdout: pa.Table,
    *,
    seen: pa.Table,
    client: Client,
    candidates: Sequence[TrainedModel],
    champion: ModelRef | None,
    gates: Gates,
    partition: str,
    pictures: bool = True,
) -> Evaluation:
    """Judge the candidate with the best inner score on the holdout, and log what was found to its run.

    Candidate and champion predict the same rows. Rows without a label are left out. Meanwhile the candidate is loaded
    and predicts in a fresh process. A candidate that is the champion by now, because its evaluation was cleared after its
    promotion, is not judged again: its evaluation is the evidence of that promotion.

    :param holdout: rows from ``split.cut`` to ``split.end``.
    :param seen: key and event time of the rows before the holdout, which prove that it is untouched.
    :param champion: None only if the model surely has none; one that cannot be loaded raises.
    :param partition: key of the partition as of which this is judged.
    :param pictures: whether to draw what was found.
    :raises TrainingFailed: if the candidates were not trained on the same data.
    :raises NotEnoughData: if no row of the holdout has a label.
    :raises LeakedRows: if the rows are not those of the holdout.
    :raises SchemaMismatch: if a column is missing that a model or a gate needs.
    :raises DigestMismatch: if a model is not what was trained.
    :raises ModelNotFound: if a model does not exist any more.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    best = _best(candidates)
    if any(_rows_of(each) != _rows_of(best) for each in candidates):
        raise TrainingFailed(
            f"{partition}: the candidates were trained on different data; clear all of them."
        )
    ref = ModelRef(model=best.model, version=best.version, digest=best.digest, run_id=best.run_id)
    mine = champion and champion.model_copy(update={"trained_through": None})
    if mine == ref and (known := _judged_before(client, ref)):
        log.info("Version %s is the champion; what it was promoted on stays as it is.", ref.version)
        return known
    rows, truth = pipeline.labelled(holdout, best.target, best.task)
    if not rows.num_rows:
        raise NotEnoughData(f"{partition}: none of the {holdout.num_rows} rows of the holdout has a label.")
    untouched = leakage.untouched(rows, seen, best.dataset, best.split)
    blocks = _blocks(gates, best, rows)
    with TemporaryDirectory() as folder:
        path, sample = fetch(client, ref, Path(folder))
        needed = models.download(client, ref.run_id, Path(folder), _REQUIREMENTS)
        limits = {"seconds": gates.serving.seconds, "memory_mb": gates.serving.memory}
        with process.start(path, ref.digest, sample, task=best.task, requirements=needed, **limits) as result:
            model = models.load(path, ref.digest)
            frame = pipeline.frame(rows, pipeline.features_of(model))
            judged = Judged(rows, truth, models.predicted(model, frame, best.task), blocks)
            rival = predict(client, champion, best, rows, seen) if champion else None
            found = _judge(gates, best, judged, rival)
            alarm = _alarm(gates, best, model, frame, truth)
            blessing = serving_checks(gates.serving, best.version, path.stat().st_size, result)
    checks = (*found.checks, untouched, *alarm, *blessing)
    verdict = monitoring.overall(checks)
    evaluation = Evaluation(
        model=best.model, partition=partition, candidate=best, champion=champion, metrics=found.metrics,
        champion_metrics=_metrics(truth, rival.predicted if rival else None, best.task), intervals=found.intervals,
        checks=checks, verdict=verdict, reason=_reason(best, checks, verdict, found.small), unjudged=found.small,
        leaderboard={candidate.candidate: candidate.score for candidate in candidates},
    )  # fmt: skip
    _log(client, evaluation)
    if pictures:
        theirs = rival.predicted if rival else None
        draw(client, best.run_id, evaluation, model, rows, truth, judged.predicted, theirs)
    return evaluation


def _rows_of(candidate: TrainedModel) -> tuple[DatasetVersion, Split]:
    return labelled.content(candidate.dataset), candidate.split


def _judged_before(client: Client, ref: ModelRef) -> Evaluation | None:
    stored = artifacts.read(client, ref.run_id, _FILE)
    return None if stored is None else Evaluation.from_dict(json.loads(stored))


def _best(candidates: Sequence[TrainedModel]) -> TrainedModel:
    sign = 1 if METRICS[candidates[0].metric].greater_is_better else -1
    return max(candidates, key=lambda each: -math.inf if each.score is None else sign * each.score)


def _blocks(gates: Gates, best: TrainedModel, rows: pa.Table) -> Blocks:
    times = rows[best.dataset.event_time].to_numpy()
    return paired.blocks(gates.versus_champion or VersusChampion(), times, best.dataset.grain)


def _metrics(truth: np.ndarray, predicted: np.ndarray | None, task: str) -> dict[str, float | None]:
    return {} if predicted is None else performance.metrics(truth, predicted, task)


def _judge(gates: Gates, best: TrainedModel, judged: Judged, rival: Rival | None) -> _Found:
    import numpy as np

    n = judged.truth.size
    if bad := int(np.sum(~np.isfinite(judged.predicted))):
        return _Found(dict.fromkeys(names(best.task)), {}, [gates_data.finite(bad, n)])
    metrics = performance.metrics(judged.truth, judged.predicted, best.task)
    confidence = (gates.versus_champion or VersusChampion()).confidence
    intervals = _intervals(metrics, judged, best.task, confidence)
    floors = [
        floor(name, metrics[name], bound, METRICS[name].greater_is_better, n, intervals.get(name), LEAST_ROWS)
        for name, bound in gates.floor.items()
    ]
    versus = _versus(gates.versus_champion, best, judged, rival, metrics) if gates.versus_champion else []
    sliced, small = slices.floors(gates.slices, judged) if gates.slices else ([], "")
    fair, fewer = slices.gaps(gates.fairness, judged) if gates.fairness else ([], "")
    small = ", ".join(each for each in (small, fewer) if each)
    even = _even(gates, best, judged, metrics) if gates.stability else []
    calibrated = _calibrated(gates.calibration, judged, confidence) if gates.calibration is not None else []
    return _Found(metrics, intervals, [*floors, *versus, *sliced, *calibrated, *fair, *even], small)


def _intervals(
    metrics: dict[str, float | None], judged: Judged, task: str, confidence: float
) -> dict[str, Interval]:
    drawn = _resampled(list(metrics), judged)
    found = {}
    for place, name in enumerate(metrics):
        interval = drawn.estimate(place).interval(confidence, METRICS[name].low, METRICS[name].high)
        if interval is not None:
            found[name] = interval
    return found


def _resampled(measures: Sequence[str], judged: Judged) -> resampling.Resampled:
    statistics = [statistic(measure, judged.truth, judged.predicted, judged.blocks) for measure in measures]
    return resampling.resample(statistics, judged.blocks.count)


def _versus(
    gate: VersusChampion,
    best: TrainedModel,
    judged: Judged,
    rival: Rival | None,
    metrics: dict[str, float | None],
) -> list[Check]:
    metric, n = best.metric, judged.truth.size
    found = Comparison(metrics[metric], None, problem=rival.problem if rival else "")
    if rival and rival.ref.digest == best.digest:
        return [nothing_new(metric, gate.margin, rival.ref.version)]
    if rival and rival.predicted is not None:
        found = paired.difference(
            judged.truth,
            judged.predicted,
            rival.predicted,
            metric,
            blocks=judged.blocks,
            confidence=gate.confidence,
            test=gate.test,
        )
        found = replace(found, problem=rival.problem or found.problem)
    return [versus_champion(metric, found, gate.margin, n, has_champion=rival is not None)]


def _even(gates: Gates, best: TrainedModel, judged: Judged, metrics: dict[str, float | None]) -> list[Check]:
    gate = gates.stability
    if gate is None:
        return []
    times = judged.rows[best.dataset.event_time].to_numpy()
    by = resampling.blocks(times, gate.by, best.dataset.grain)
    found = slices.spans(judged, best.metric, by, gate.min_rows)
    return [gates_parts.stability(best.metric, metrics[best.metric], found, gate.drop, gate.min_rows)]


def _calibrated(bound: float, judged: Judged, confidence: float) -> list[Check]:
    found = _resampled(["calibration"], judged).estimate(0)
    return [calibration(found.value, found.interval(confidence, 0, 1), bound, judged.truth.size)]


def _alarm(
    gates: Gates, best: TrainedModel, model: Pipeline, frame: pd.DataFrame, truth: np.ndarray
) -> list[Check]:
    if gates.leakage is None:
        return []
    scores = leakage.alone(frame, pipeline.features_of(model), truth, best.task)
    what = "ROC AUC" if best.task == "classification" else "R2"
    return [gates_data.leakage(scores, gates.leakage, what, truth.size)]


def _reason(best: TrainedModel, checks: Sequence[Check], verdict: Verdict, small: str) -> str:
    if verdict is Verdict.PASS:
        told = [f"{len(checks)} gate{'s' * (len(checks) != 1)} passed"]
        decisive: Iterable[Check] = [check for check in checks if check.name.startswith("versus_champion")]
    else:
        told, decisive = [], [check for check in checks if check.verdict is verdict]
    told += [
        f"{check.name}{f' of {check.slice}' if check.slice else ''}: {check.reason}" for check in decisive
    ]
    left_out = f"; too few rows to judge {small}" if small else ""
    return f"{best.candidate} (version {best.version}): {'; '.join(told)}{left_out}"


def _log(client: Client, evaluation: Evaluation) -> None:
    candidate = evaluation.candidate
    run_id = candidate.run_id
    tracking.log_metrics(client, run_id, "holdout", evaluation.metrics)
    for end, group in enumerate(("holdout_low", "holdout_high")):
        bounds = {name: interval[end] for name, interval in evaluation.intervals.items()}
        tracking.log_metrics(client, run_id, group, bounds)
    artifacts.write_json(client, run_id, _FILE, evaluation.to_dict())
    tracking.tag(client, run_id, _VERDICT, evaluation.verdict.value)
    registry.tag(client, candidate.model, candidate.version, _VERDICT, evaluation.verdict.value)
