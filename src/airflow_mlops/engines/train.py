"""Train: split by event time, search, fit, log to MLflow and register, once per idempotency key."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Literal

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.results import DatasetVersion, Split, TrainedModel
from airflow_mlops.engines import models, pipeline, search, tracking, transform
from airflow_mlops.exceptions import NotEnoughData

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.spec import Budget, Candidate, Features

log = logging.getLogger(__name__)

SAMPLE = "blessing/sample.parquet"
"""Run artifact: rows with the predictions that the training process made of them."""
PREDICTION = "_prediction"
"""Column of :data:`SAMPLE`."""

_LEAST_ROWS = 50
_SAMPLE_ROWS = 200
_TRAINED = "mlops.trained"
_NUMERIC = ("int", "uint", "float", "double", "halffloat", "decimal", "bool")
_TEXT = ("string", "large_string", "dictionary")


def split(
    event_times: pa.ChunkedArray,
    *,
    holdout: int | float,
    partition: Partition,
    window: Literal["all"] | int,
    delay: timedelta,
) -> Split:
    """Place the bounds of training and holdout rows, as of one partition.

    :param event_times: of all rows, in any order; later ones than the partition may be among them.
    :param holdout: number of latest partitions with mature labels, or share of the latest rows. Rows of one time stay
        together.
    :param window: partitions to train on, before the holdout; if the holdout is a share, it is one of them. ``all``
        begins with the first row.
    :param delay: how long labels take to mature; the latest rows of that span are left out.
    :raises NotEnoughData: if either side has fewer than 50 rows.
    """
    import numpy as np

    times = np.sort(event_times.to_numpy().astype("datetime64[us]"))
    mature = Partition.containing(partition.end - delay - timedelta(microseconds=1), partition.grain)
    held_out = 0 if isinstance(holdout, float) else holdout
    end, start = _at(partition.end - delay), times[0] if times.size else _at(partition.start)
    if window != "all":
        start = _at(mature.shift(1 - held_out - window).start)
    times = times[(times >= start) & (times < end)]
    if isinstance(holdout, float):
        cut = times[int((1 - holdout) * times.size)] if times.size else end
    else:
        cut = max(start, _at(mature.shift(1 - holdout).start))
    before = int(np.searchsorted(times, cut))
    found = Split(
        start=_moment(start),
        cut=_moment(cut),
        end=_moment(end),
        train_rows=before,
        holdout_rows=times.size - before,
    )
    if min(found.train_rows, found.holdout_rows) < _LEAST_ROWS:
        raise NotEnoughData(
            f"{found.train_rows} rows to train on from {found.start:%Y-%m-%d %H:%M} to "
            f"{found.cut:%Y-%m-%d %H:%M}, {found.holdout_rows} held out until {found.end:%Y-%m-%d %H:%M}; "
            f"each side needs {_LEAST_ROWS}"
        )
    return found


def derive_features(dataset: DatasetVersion, target: str) -> Features:
    """Return every column but key, event time and target: numbers and truths as numeric, text as categorical.

    Columns of other types, such as times, are left out.

    :raises SpecError: if no column is left.
    """
    from airflow_mlops.domain.spec import Features

    others = {*dataset.key, dataset.event_time, target}
    left = {name: kind for name, kind in dataset.columns.items() if name not in others}
    return Features(
        numeric=tuple(name for name, kind in left.items() if kind.startswith(_NUMERIC)),
        categorical=tuple(name for name, kind in left.items() if kind.startswith(_TEXT)),
    )


def _at(moment: datetime) -> np.datetime64:
    import numpy as np

    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def _moment(time: np.datetime64) -> datetime:
    moment: datetime = time.astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC)


@dataclass(frozen=True)
class _Job:
    """What one training is about."""

    candidate: Candidate
    task: str
    target: str
    features: Features
    metric: str
    split: Split
    dataset: DatasetVersion
    budget: Budget
    seed: int
    prepared: transform.Transform | None


@dataclass(frozen=True)
class _Fitted:
    """A model fitted on all training rows, and how its parameters did on the inner validation rows."""

    model: Pipeline
    found: search.Found
    rows: int


def train(
    table: pa.Table,
    *,
    client: MlflowClient,
    model: str,
    candidate: Candidate,
    task: str,
    target: str,
    features: Features,
    metric: str,
    split: Split,
    dataset: DatasetVersion,
    budget: Budget,
    seed: int,
    key: str,
    tags: Mapping[str, str],
    artifacts: str | None = None,
) -> TrainedModel:
    """Train one candidate and register it as a version; a second call with the same key returns the first result.

    Only rows of ``split.start <= event time < split.cut`` are fitted; their order in the table does not matter. The
    search, and the score, use the latest fifth of them as validation rows; the model is fitted on all of them.

    :param table: rows of at least the features, target, key and event time, those of the holdout included.
    :param key: idempotency key, unique to a DAG run, step and candidate.
    :param tags: further tags of the run and the version.
    :param artifacts: see :func:`airflow_mlops.engines.tracking.experiment`.
    :raises TrainingFailed: if the candidate cannot be built or fitted.
    :raises UntrustedModel: if the fitted model holds types outside the allow-list.
    :raises NotEnoughData: if the labels do not suffice to rank candidates by ``metric``.
    :raises SchemaMismatch: if a column is missing or has another type than its use needs.
    :raises TransformFailed: if not all rows were prepared by the code that is there now, which is stored with the model.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    former = tracking.only_version(client, model, key)
    if former is not None:
        log.info("Version %s of %s was trained under this key already.", former.version, model)
        trained = _trained(former.tags, former.version)
        tracking.finish(client, trained.run_id)
        return trained
    prepared = transform.of_training(dataset, split)
    job = _Job(candidate, task, target, features, metric, split, dataset, budget, seed, prepared)
    experiment_id = tracking.experiment(client, model, artifacts)
    tags = {**_tags(job), **tags}
    began = monotonic()
    with tracking.run(client, experiment_id, f"{candidate.name} {dataset.partition}", key, tags) as run:
        fitted = _fit(job, table)
        stored = {transform.FILE: prepared.source} if prepared else None
        logged = models.log(client, run, model, fitted.model, job.features, task, stored)
        _log_facts(client, run, job, fitted)
        _log_sample(client, run, job, fitted.model, table)
        facts = {
            "model": model, "candidate": candidate.name, "run_id": run.info.run_id, "digest": logged.digest,
            "task": task, "target": target, "metric": metric, "score": fitted.found.inner[metric], "params": {**candidate.params, **fitted.found.params},
            "features": [*features.numeric, *features.categorical], "seconds": round(monotonic() - began, 3),
        }  # fmt: skip
        tags = {**tags, **_long_tags(job), "mlops.digest": logged.digest, _TRAINED: json.dumps(facts)}
        version = tracking.register(
            client,
            model,
            key=key,
            source=logged.location,
            run_id=run.info.run_id,
            model_id=logged.model_id,
            tags=tags,
        )
    trained = _trained(tags, version)
    log.info(
        "%s version %s: %s, inner %s %.4f, %d rows, %.1f s.",
        model, version, candidate.name, metric, trained.score, fitted.rows, trained.seconds,
    )  # fmt: skip
    return trained


def _trained(tags: Mapping[str, str], version: str) -> TrainedModel:
    parts = {name: json.loads(tags[f"mlops.{name}"]) for name in ("dataset", "split")}
    return TrainedModel.from_dict({**json.loads(tags[_TRAINED]), **parts, "version": str(version)})


def _tags(job: _Job) -> dict[str, str]:
    last = Partition.containing(job.split.cut - timedelta(microseconds=1), job.dataset.grain)
    return {
        "mlops.candidate": job.candidate.name,
        "mlops.partition": job.dataset.partition,
        "mlops.dataset_digest": job.dataset.digest,
        "mlops.dataset_uri": job.dataset.uri,
        "mlops.dataset_version": str(job.dataset.version),
        "mlops.target": job.target,
        "mlops.task": job.task,
        "mlops.trained_through": last.key,
        **({transform.VERSION_TAG: job.prepared.version} if job.prepared else {}),
    }


def _long_tags(job: _Job) -> dict[str, str]:
    # A run's tag holds 8,000 characters, a version's 100,000; columns of a wide table take more than the former.
    return {
        "mlops.dataset": json.dumps(job.dataset.to_dict()),
        "mlops.features": json.dumps(
            {"numeric": job.features.numeric, "categorical": job.features.categorical}
        ),
        "mlops.split": json.dumps(job.split.to_dict()),
        **({transform.DIGEST_TAG: job.prepared.digest} if job.prepared else {}),
    }


def _between(job: _Job, table: pa.Table, since: datetime, until: datetime) -> pa.Table:
    import pyarrow.compute as pc

    times = table[job.dataset.event_time]
    kept = pc.and_(pc.greater_equal(times, since), pc.less(times, until))
    # The files of a table come in any order, and fitting depends on it.
    order = [(name, "ascending") for name in dict.fromkeys((job.dataset.event_time, *job.dataset.key))]
    return table.filter(kept).sort_by(order)


def _fit(job: _Job, table: pa.Table) -> _Fitted:
    rows = _between(job, table, job.split.start, job.split.cut)
    known, labels = pipeline.labelled(rows, job.target, job.task)
    if known.num_rows < rows.num_rows:
        log.warning("%d of %d training rows have no label.", rows.num_rows - known.num_rows, rows.num_rows)
    if known.num_rows < _LEAST_ROWS:
        raise NotEnoughData(f"{known.num_rows} training rows have a label; {_LEAST_ROWS} are needed.")
    data = search.Data(pipeline.frame(known, job.features), labels, known[job.dataset.event_time].to_numpy())
    unfitted = pipeline.build(job.candidate, job.features, job.task, job.seed)
    found = search.search(unfitted, job.candidate, data, job.metric, job.task, job.budget, job.seed)
    return _Fitted(search.fit(unfitted, job.candidate, found.params, data), found, known.num_rows)


def _log_facts(client: MlflowClient, run: Run, job: _Job, fitted: _Fitted) -> None:
    params = {"estimator": job.candidate.estimator, "seed": job.seed, "train_rows": fitted.rows}
    params |= {
        f"model.{name}": value for name, value in {**job.candidate.params, **fitted.found.params}.items()
    }
    tracking.log_params(client, run.info.run_id, params)
    tracking.log_metrics(client, run.info.run_id, "inner", fitted.found.inner)
    tracking.log_dataset(client, run.info.run_id, job.dataset)


def _log_sample(client: MlflowClient, run: Run, job: _Job, fitted: Pipeline, table: pa.Table) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = _between(job, table, job.split.start, job.split.end)
    rows = rows.select([*job.features.numeric, *job.features.categorical])
    rows = rows.slice(max(0, rows.num_rows - _SAMPLE_ROWS))
    predicted = pa.array(models.predict(fitted, rows, job.task), pa.float64())
    place, _, name = SAMPLE.rpartition("/")
    with TemporaryDirectory() as folder, tracking.errors(client):
        pq.write_table(rows.append_column(PREDICTION, predicted), f"{folder}/{name}")
        client.log_artifact(run.info.run_id, f"{folder}/{name}", place)
