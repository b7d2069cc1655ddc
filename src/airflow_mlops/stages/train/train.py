"""Train: split by event time, search, fit, log to MLflow and register, once per idempotency key."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.facts.decision import HALF
from airflow_mlops.domain.facts.results import TrainedModel
from airflow_mlops.exceptions import ModelNotFound
from airflow_mlops.learning import provenance, threads
from airflow_mlops.learning.bless import sample
from airflow_mlops.learning.labels import labelled
from airflow_mlops.learning.models import intervals, models, own_metrics
from airflow_mlops.stages.train import conformal, curve, fitting, jobs, recalibration, trials
from airflow_mlops.stages.train.chosen import Chosen, choose, refit, waited
from airflow_mlops.stages.train.jobs import TRAINED
from airflow_mlops.stores import damage
from airflow_mlops.stores.registry import patience, registration, registry, tracking

if TYPE_CHECKING:
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

    from airflow_mlops.domain.facts.recipe import Recipe
    from airflow_mlops.stores.registry.client import Client, Run

log = logging.getLogger(__name__)


def train_candidate(
    recipe: Recipe,
    *,
    client: Client,
    key: str,
    tags: Mapping[str, str],
    artifacts: str | None = None,
    dask: str | None = None,
    pictures: bool = True,
) -> TrainedModel:
    """Read the rows of a recipe and train its candidate on them, as :func:`train` does."""
    rows = labelled.read(recipe.dataset, since=recipe.split.start, until=recipe.split.end)
    return train(
        rows,
        client=client,
        recipe=recipe,
        key=key,
        tags=tags,
        artifacts=artifacts,
        dask=dask,
        pictures=pictures,
    )


@own_metrics.scoped(lambda table, *, recipe, **_: recipe)
def train(
    table: pa.Table,
    *,
    client: Client,
    recipe: Recipe,
    key: str,
    tags: Mapping[str, str],
    artifacts: str | None = None,
    dask: str | None = None,
    pictures: bool = True,
) -> TrainedModel:
    """Train one candidate and register it as a version; a second call with the same key returns the first result.

    Only rows of ``split.start <= event time < split.cut`` are fitted; their order in the table does not matter. The
    search, and the inner score, use the latest of these rows as validation rows; the model is fitted on all of them. A
    call with the same key resumes a search whose process was killed. A training that is ended from outside, by SystemExit
    for instance, leaves no version. Once it fits, it waits for half an hour until an MLflow that is away is back, so that
    nothing is fitted twice because it could not be logged.

    :param table: rows of at least the features, target, key and event time, those of the holdout included.
    :param key: idempotency key, unique to a DAG run, step and candidate.
    :param tags: further tags of the run and the version.
    :param artifacts: see :func:`airflow_mlops.stores.registry.tracking.experiment`.
    :param dask: address of a Dask scheduler that trials are fitted on; None fits them here.
    :param pictures: whether to draw a learning curve.
    :raises TrainingFailed: if the candidate cannot be built or fitted.
    :raises UntrustedModel: if the fitted model holds types outside the allow-list.
    :raises NotEnoughData: if the labels do not suffice to rank candidates by the recipe's metric.
    :raises SchemaMismatch: if a column is missing or has another type than its use needs.
    :raises MetricFailed: if a metric of one's own cannot be imported or computed.
    :raises TransformFailed: if not all rows were prepared by the code that is there now, which is stored with the model.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    model = recipe.model
    former = registration.only_version(client, model, key)
    if former is not None:
        log.info("Version %s of %s was trained under this key already.", former.version, model)
        trained = trained_of(registry.tags(client, former), former.version)
        tracking.finish(client, trained.run_id)
        return trained
    job = jobs.Job.of(recipe)
    experiment_id = tracking.experiment(client, model, artifacts)
    tags = {**job.tags(), **tags}
    began = monotonic()
    name = job.recipe.candidate.name
    title = f"{name} {recipe.dataset.partition}"
    with registration.whole(client, model, key), tracking.run(client, experiment_id, title, key, tags) as run:
        provenance.log(client, run, recipe, tags)
        everything = None if recipe.keeps else fitting.data(table, recipe)
        # Until here a retry is cheap. From here on what was fitted is in this process only, which so waits itself.
        patient = patience.patient(client)
        if everything is None:
            chosen = recalibration.choose(patient, recipe, table)
        else:
            store = trials.Store(patient, run, job.identity(key), recipe.metric)
            chosen = choose(job, table, everything, store, dask)
        fitted = job.of_rows(chosen.recipe)
        seconds = round(monotonic() - began, 3)
        logged = models.log(
            patient, run, model, chosen.model, job.recipe.features, recipe.task, job.sources()
        )
        _log_facts(patient, run, chosen)
        sample_digest = _log_sample(patient, run, chosen, table)
        if pictures and not recipe.keeps and not recipe.constant:
            _log_curve(patient, run, chosen)
        facts = {
            "model": model, "candidate": name, "run_id": run.info.run_id, "digest": logged.digest,
            "task": recipe.task, "target": recipe.target, "metric": recipe.metric, "score": chosen.score,
            "params": {**job.recipe.candidate.params, **chosen.params}, "features": job.recipe.features.names,
            "seconds": seconds, "trials": chosen.trials, "remarks": chosen.remarks, "classes": chosen.classes,
            "classes_named": bool(recipe.classes),
            "own_metrics": {name: own.to_dict() for name, own in recipe.own_metrics.items()},
        }  # fmt: skip
        if bounds := intervals.of(chosen.model):
            facts["intervals"] = bounds.facts.to_dict()
            tags[intervals.TAG] = bounds.facts.model_dump_json()
        if chosen.decision:
            facts["decision"] = chosen.decision.to_dict()
            tags[registry.DECISION] = chosen.decision.model_dump_json()
        if recipe.keeps:
            facts["keeps"] = recipe.keeps.version
        if recipe.constant:
            facts["constant"] = True
            tags[registry.CONSTANT] = "true"
        if chosen.window:
            facts["window"] = chosen.window.to_dict()
        settings = {
            "weights": recipe.weights,
            "groups": recipe.groups,
            "texts": recipe.features.kinds.get("text"),
        }
        facts |= {name: fact for name, fact in settings.items() if fact}
        long_tags = fitted.cut_tags(chosen.trials, job) if chosen.cut else fitted.long_tags()
        tags = {**tags, **long_tags, "mlops.digest": logged.digest, TRAINED: json.dumps(facts)}
        tags[registry.CLASSES] = json.dumps(chosen.classes)
        tags[sample.DIGEST_TAG] = sample_digest
        version = registration.register(
            patient,
            model,
            key=key,
            source=logged.location,
            run_id=run.info.run_id,
            model_id=logged.model_id,
            tags=tags,
        )
    return trained_of(tags, version)


def fit(table: pa.Table, recipe: Recipe, params: Mapping[str, Any]) -> Pipeline:
    """Fit a recipe's candidate with chosen parameters, as :func:`train` does once its search is over.

    :param table: as :func:`train` takes it.
    :param params: the parameters that the search has chosen, or all parameters of a trained model.
    :raises TrainingFailed: if the candidate cannot be built or fitted.
    :raises NotEnoughData: if too few rows have a label, or all have the same.
    :raises SchemaMismatch: if a column is missing or has another type than its use needs.
    """
    return waited(recipe, *conformal.parts(fitting.data(table, recipe), recipe.intervals), params)[0]


def trained_of(tags: Mapping[str, str], version: str) -> TrainedModel:
    """Return the trained model that the tags of a version describe.

    :raises ModelNotFound: if the tags are damaged.
    """
    with damage.errors(f"How version {version} was trained", ModelNotFound):
        parts = {name: json.loads(tags[f"mlops.{name}"]) for name in ("dataset", "split")}
        return TrainedModel.from_dict({**json.loads(tags[TRAINED]), **parts, "version": str(version)})


def _log_facts(client: Client, run: Run, chosen: Chosen) -> None:
    recipe = chosen.recipe
    params = {f"model.{name}": value for name, value in {**recipe.candidate.params, **chosen.params}.items()}
    counts: dict[str, Any] = {"train_rows": chosen.data.labels.size, "trials": chosen.trials}
    if bounds := intervals.of(chosen.model):
        counts["calibration_rows"] = bounds.facts.rows
    if chosen.decision and chosen.decision.matrix is None:
        counts["threshold"] = chosen.decision.threshold
    if chosen.window:
        counts |= {"window": chosen.window.chosen, provenance.START: recipe.split.start.isoformat()}
    tracking.log_params(client, run.info.run_id, {**counts, **params})
    tracking.log_metrics(client, run.info.run_id, "inner", {recipe.metric: chosen.score})


def _log_sample(client: Client, run: Run, chosen: Chosen, table: pa.Table) -> str:
    """Log rows with the predictions that a fresh process must repeat, and return their digest."""
    recipe = chosen.recipe
    split = recipe.split
    rows = fitting.between(table, recipe, split.start, split.end).select(list(recipe.features.names))
    predicted = threads.waited(lambda: sample.predicted(chosen.model, rows, recipe.task), "Predicting")
    return sample.keep(client, run.info.run_id, predicted)


def _log_curve(client: Client, run: Run, chosen: Chosen) -> None:
    def again(part: fitting.Data) -> Pipeline:
        return refit(chosen.recipe, part, chosen.params)

    with threads.bounded(threads.per_fit()):
        rule = chosen.decision or HALF
        curve.log_training(client, run.info.run_id, chosen.recipe, chosen.data, again, rule, chosen.latest)
