"""Evaluate: judge the best candidate on the holdout, beside the champion and gate by gate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain import policies
from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.metrics import METRICS
from airflow_mlops.domain.results import Evaluation, ModelRef, TrainedModel
from airflow_mlops.engines import models, performance, pipeline, plots, tracking
from airflow_mlops.exceptions import NotEnoughData, SchemaMismatch, TrainingFailed

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from mlflow import MlflowClient

    from airflow_mlops.domain.spec import Gates, Slices


def evaluate(
    holdout: pa.Table,
    *,
    client: MlflowClient,
    candidates: Sequence[TrainedModel],
    champion: ModelRef | None,
    gates: Gates,
    partition: str,
) -> Evaluation:
    """Judge the candidate with the best inner score on the holdout, and log what was found to its run.

    Candidate and champion predict the same rows. Rows without a label are left out.

    :param holdout: rows from ``split.cut`` to ``split.end``, which no candidate has seen.
    :param champion: None only if the model surely has none; one that cannot be loaded raises.
    :param partition: key of the partition as of which this is judged.
    :raises TrainingFailed: if the candidates were not trained on the same data.
    :raises NotEnoughData: if no row of the holdout has a label.
    :raises DigestMismatch: if a model is not what was trained.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    best = _best(candidates)
    if any((each.dataset, each.split) != (best.dataset, best.split) for each in candidates):
        raise TrainingFailed(
            f"{partition}: the candidates were trained on different data; clear all of them."
        )
    rows, truth = pipeline.labelled(holdout, best.target, best.task)
    if not rows.num_rows:
        raise NotEnoughData(f"{partition}: none of the {holdout.num_rows} rows of the holdout has a label.")
    ref = ModelRef(model=best.model, version=best.version, digest=best.digest, run_id=best.run_id)
    ours = models.predict(models.load_version(client, ref), rows, best.task)
    theirs = models.predict(models.load_version(client, champion), rows, best.task) if champion else None
    metrics = performance.metrics(truth, ours, best.task)
    champion_metrics = {} if theirs is None else performance.metrics(truth, theirs, best.task)
    slices, small = _slices(gates.slices, rows, truth, ours)
    checks = (
        *_floors(gates.floor, metrics, rows.num_rows, None),
        *_versus(gates, best.metric, truth, ours, theirs, metrics, champion_metrics),
        *slices,
    )
    # A spec may ask for no gate at all; there is nothing then that could be inconclusive.
    verdict = policies.overall(checks) if checks else Verdict.PASS
    evaluation = Evaluation(
        model=best.model, partition=partition, candidate=best, champion=champion, metrics=metrics,
        champion_metrics=champion_metrics, checks=checks, verdict=verdict, reason=_reason(best, checks, verdict, small),
        leaderboard={candidate.candidate: candidate.score for candidate in candidates},
    )  # fmt: skip
    _log(client, evaluation, truth, ours)
    return evaluation


def _best(candidates: Sequence[TrainedModel]) -> TrainedModel:
    sign = 1 if METRICS[candidates[0].metric].greater_is_better else -1
    return max(candidates, key=lambda each: -math.inf if each.score is None else sign * each.score)


def _floors(
    floor: dict[str, float], metrics: dict[str, float | None], n: int, part: str | None
) -> list[Check]:
    return [
        policies.floor(name, metrics.get(name), bound, METRICS[name].greater_is_better, n, part)
        for name, bound in floor.items()
    ]


def _versus(
    gates: Gates,
    metric: str,
    truth: np.ndarray,
    ours: np.ndarray,
    theirs: np.ndarray | None,
    metrics: dict[str, float | None],
    champion_metrics: dict[str, float | None],
) -> list[Check]:
    gate = gates.versus_champion
    if gate is None:
        return []
    interval = None
    if theirs is not None:
        interval = performance.paired_difference(truth, ours, theirs, metric, confidence=gate.confidence)
    check = policies.versus_champion(
        metric, metrics[metric], champion_metrics.get(metric), interval, gate.margin, truth.size,
        has_champion=theirs is not None,
    )  # fmt: skip
    return [check]


def _slices(
    gate: Slices | None, rows: pa.Table, truth: np.ndarray, ours: np.ndarray
) -> tuple[list[Check], list[str]]:
    """Return the checks of the slices, and those that are too small to judge."""
    import pyarrow.compute as pc

    checks: list[Check] = []
    small: list[str] = []
    if gate is None:
        return checks, small
    for column in gate.by:
        if column not in rows.column_names:
            raise SchemaMismatch(
                f"gates.slices: the data has no column {column!r}; it has {rows.column_names}."
            )
        values = pc.fill_null(pc.cast(rows[column], "string"), "missing")
        for value in sorted(pc.unique(values).to_pylist()):
            mask = pc.equal(values, value).to_numpy()
            part, n = f"{column}={value}", int(mask.sum())
            if n < gate.min_rows:
                small.append(f"{part} ({n})")
            else:
                measured = {name: performance.measure(name, truth[mask], ours[mask]) for name in gate.floor}
                checks += _floors(gate.floor, measured, n, part)
    return checks, small


def _reason(best: TrainedModel, checks: Sequence[Check], verdict: Verdict, small: Sequence[str]) -> str:
    if verdict is Verdict.PASS:
        told = [
            f"{len(checks)} gate{'s' * (len(checks) != 1)} passed" if checks else "the spec asks for no gate"
        ]
        decisive = [check for check in checks if check.name.startswith("versus_champion")]
    else:
        told, decisive = [], [check for check in checks if check.verdict is verdict]
    told += [
        f"{check.name}{f' of {check.slice}' if check.slice else ''}: {check.reason}" for check in decisive
    ]
    left_out = f"; too few rows to judge {', '.join(small)}" if small else ""
    return f"{best.candidate} (version {best.version}): {'; '.join(told)}{left_out}"


def _log(client: MlflowClient, evaluation: Evaluation, truth: np.ndarray, ours: np.ndarray) -> None:
    candidate = evaluation.candidate
    run_id = candidate.run_id
    tracking.log_metrics(client, run_id, "holdout", evaluation.metrics)
    with tracking.errors(client):
        client.log_dict(run_id, evaluation.to_dict(), "evaluation.json")
        # With labels of one class there is no curve to draw.
        if None not in evaluation.metrics.values():
            for name, figure in plots.plots(truth, ours, candidate.task).items():
                client.log_figure(run_id, figure, f"plots/{name}")
        client.set_tag(run_id, "mlops.verdict", evaluation.verdict.value)
        client.set_model_version_tag(
            candidate.model, candidate.version, "mlops.verdict", evaluation.verdict.value
        )
